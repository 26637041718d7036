"""Shares: set on every edge at once, believed only when read back."""

import json
import threading
import time

import pytest

from release.targets.transport import Answer, Host, HostUnreachable
from release.traffic.haproxy import HAProxyEdges
from release.traffic.shares import Disagreement, EdgeShare, EdgeUnreachable, TokenRefused


class Edges:
    """edge-share on several edges, in memory."""

    def __init__(self, *names):
        self.state = {name: {"green_bp": 0, "token": 0} for name in names}
        self.dead = set()
        self.deaf = set()
        self.delay_s = 0.0
        self.hosts = [Host(name, "docker", container=name) for name in names]
        self._lock = threading.Lock()

    def run(self, host, argv, *, stdin=None, timeout_s=0):
        time.sleep(self.delay_s)
        if host.name in self.dead:
            raise HostUnreachable(host.name, "no answer within 5 s")
        with self._lock:
            state = self.state[host.name]
            if argv[1] == "set":
                green, token = int(argv[3]), int(argv[5])
                if token < state["token"]:
                    return Answer(5, json.dumps({"error": "token is lower"}), "")
                state["token"] = token
                if host.name not in self.deaf:
                    state["green_bp"] = green
            return Answer(0, json.dumps(state), "")


def test_a_share_is_set_on_every_edge_and_read_back():
    edges = Edges("edge1", "edge2")
    traffic = HAProxyEdges(edges.hosts, run=edges.run)
    assert traffic.set_share(1000, 3) == {"edge1": EdgeShare(1000, 3), "edge2": EdgeShare(1000, 3)}
    assert traffic.agree() == EdgeShare(1000, 3)


def test_ten_edges_take_no_longer_than_a_slow_one():
    edges = Edges(*(f"edge{n}" for n in range(10)))
    edges.delay_s = 0.2
    started = time.monotonic()
    HAProxyEdges(edges.hosts, run=edges.run).set_share(0, 1)
    assert time.monotonic() - started < 1.0


def test_an_unreachable_edge_is_named_and_the_others_are_set_all_the_same():
    edges = Edges("edge1", "edge2")
    edges.dead.add("edge1")
    with pytest.raises(EdgeUnreachable) as raised:
        HAProxyEdges(edges.hosts, run=edges.run).set_share(500, 1)
    assert list(raised.value.edges) == ["edge1"]
    assert edges.state["edge2"]["green_bp"] == 500


def test_an_edge_that_holds_another_value_after_setting_is_a_disagreement():
    edges = Edges("edge1", "edge2")
    edges.deaf.add("edge2")
    with pytest.raises(Disagreement, match=r"edge1 5 %, edge2 0 %, expected 5 %"):
        HAProxyEdges(edges.hosts, run=edges.run).set_share(500, 1)


def test_a_controller_that_was_overtaken_is_refused():
    edges = Edges("edge1")
    traffic = HAProxyEdges(edges.hosts, run=edges.run)
    traffic.set_share(500, 7)
    with pytest.raises(TokenRefused, match="token 6"):
        traffic.set_share(9000, 6)
    assert edges.state["edge1"]["green_bp"] == 500


@pytest.mark.parametrize("value", [-1, 10001])
def test_a_share_outside_the_range_never_reaches_an_edge(value):
    edges = Edges("edge1")
    with pytest.raises(ValueError, match="0 to 10000"):
        HAProxyEdges(edges.hosts, run=edges.run).set_share(value, 1)


def test_ssh_gets_one_quoted_line_and_docker_a_list():
    over_ssh = Host("app1", "ssh", address="198.18.0.9", user="ops")
    assert over_ssh.command(["echo", "a b"])[-2:] == ["ops@198.18.0.9", "sudo -n echo 'a b'"]
    in_docker = Host("app1", "docker", container="x")
    assert in_docker.command(["echo", "a b"]) == ["docker", "exec", "x", "echo", "a b"]
