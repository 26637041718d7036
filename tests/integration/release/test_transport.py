"""Reaching a host over docker exec: what an answer is, and what is no answer."""

import json
import time
import uuid

import docker
import pytest

from release.targets.hosts import HOST_SCRIPT
from release.targets.transport import Host, HostUnreachable, run_on
from release.traffic.haproxy import COMMAND, HAProxyEdges
from release.traffic.shares import EdgeShare, EdgeUnreachable, TokenRefused
from tools.setup.images import reference

pytestmark = pytest.mark.integration

#: edge-share's contract without HAProxy: state in a file, tokens that only grow.
STAND_IN = """#!/usr/bin/python3
import json, os, sys
state = json.load(open("/tmp/share")) if os.path.exists("/tmp/share") else {"green_bp": 0, "token": 0}
if sys.argv[1] == "set":
    wanted = dict(zip(sys.argv[2::2], map(int, sys.argv[3::2])))
    if wanted["--token"] < state["token"]:
        print(json.dumps({"error": "token %d is lower than %d" % (wanted["--token"], state["token"])}))
        sys.exit(5)
    state = {"green_bp": wanted["--green-bp"], "token": wanted["--token"]}
    json.dump(state, open("/tmp/share", "w"))
print(json.dumps(state))
"""


@pytest.fixture
def edges():
    """Two containers with a stand-in for edge-share."""
    client, made = docker.from_env(), []
    try:
        for n in (1, 2):
            name = f"plumbline-test-edge{n}-{uuid.uuid4().hex[:8]}"
            made.append(
                client.containers.run(
                    reference("host"),
                    ["sleep", "600"],
                    entrypoint=[],
                    name=name,
                    detach=True,
                    network_mode="none",
                    init=True,
                )
            )
        hosts = [Host(f"edge{n}", "docker", container=c.name) for n, c in enumerate(made, start=1)]
        for host in hosts:
            write = f"cat > {COMMAND} && chmod 755 {COMMAND}"
            assert run_on(host, ["sh", "-c", write], stdin=STAND_IN).code == 0
        yield hosts, made
    finally:
        for container in made:
            container.remove(force=True)


def test_both_edges_are_set_well_within_the_two_seconds_of_a_rollback(edges):
    hosts, _ = edges
    started = time.monotonic()
    assert HAProxyEdges(hosts).set_share(1000, 3) == dict.fromkeys(("edge1", "edge2"), EdgeShare(1000, 3))
    assert time.monotonic() - started < 2.0


def test_a_lower_token_is_refused_in_the_edges_own_words(edges):
    hosts, _ = edges
    HAProxyEdges(hosts).set_share(1000, 7)
    with pytest.raises(TokenRefused, match="token 6 is lower than 7"):
        HAProxyEdges(hosts).set_share(0, 6)


def test_a_stopped_edge_is_unreachable_and_the_other_one_is_set(edges):
    hosts, containers = edges
    containers[0].stop(timeout=0)
    with pytest.raises(EdgeUnreachable, match="edge1") as raised:
        HAProxyEdges(hosts).set_share(0, 1)
    assert list(raised.value.edges) == ["edge1"]
    assert HAProxyEdges(hosts[1:]).agree() == EdgeShare(0, 1)


def test_an_edge_that_hangs_is_given_up_after_its_time_limit(edges):
    hosts, _ = edges
    run_on(hosts[1], ["sh", "-c", f"printf '#!/bin/sh\\nsleep 60\\n' > {COMMAND}"])
    started = time.monotonic()
    with pytest.raises(EdgeUnreachable, match=r"edge2: no answer within 4 s") as raised:
        HAProxyEdges(hosts, timeout_s=4.0).read()
    assert list(raised.value.edges) == ["edge2"]
    assert time.monotonic() - started < 10


def test_a_container_that_is_not_there_is_unreachable():
    with pytest.raises(HostUnreachable, match="No such container"):
        run_on(Host("app9", "docker", container=f"plumbline-none-{uuid.uuid4().hex[:8]}"), ["true"])


def test_a_command_that_fails_is_an_answer_and_not_an_unreachable_host(edges):
    hosts, _ = edges
    answer = run_on(hosts[0], ["sh", "-c", "echo Error: mine >&2; exit 3"])
    assert (answer.code, answer.complaint) == (3, "Error: mine")


def test_the_host_script_runs_on_the_hosts_own_python_and_says_what_is_not_there(edges):
    hosts, _ = edges
    wanted = {"action": "state", "address": "127.0.0.1", "ports": {"blue": 8001, "green": 8002}}
    answer = run_on(hosts[0], ["python3", "-", json.dumps(wanted)], stdin=HOST_SCRIPT.read_text())
    said = json.loads(answer.stdout)
    assert said["disk_free"] > 0
    assert said["slots"]["blue"]["installed"] is None
    assert said["slots"]["green"]["ready"] is False
