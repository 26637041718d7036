"""An environment's whole life on real Docker: interrupted, finished, repaired, read, removed.

The tests share one environment and run in this order, since a fresh one for each would cost minutes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker.errors import NotFound

from tests.integration.infra.conftest import ROOT, Environment

pytestmark = pytest.mark.integration

HOSTS = {"edge1", "app1", "app2", "app3", "client1"}
SERVICES = {"postgres", "redis", "etcd", "prometheus"}


def wait_for(environment: Environment, container: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while container not in environment.containers():
        assert process.poll() is None, "up ended before it could be killed"
        assert time.monotonic() < deadline, f"{container} never came"
        time.sleep(0.05)


def test_up_killed_at_its_start_and_in_its_middle_is_finished_by_the_same_command(
    environment: Environment,
) -> None:
    first = environment.start_up()
    wait_for(environment, "app1", first)
    os.kill(first.pid, signal.SIGKILL)  # its pulumi lives on for a moment
    first.wait()

    second = environment.start_up()
    wait_for(environment, "postgres", second)
    os.killpg(second.pid, signal.SIGKILL)  # all of it at once, as when the machine goes down
    second.wait()

    environment.up()
    assert set(environment.containers()) == HOSTS | SERVICES
    for service in SERVICES:
        container = environment.client.containers.get(f"{environment.name}-{service}")
        assert container.exec_run("ready").exit_code == 0, service
    for host in HOSTS:
        container = environment.client.containers.get(f"{environment.name}-{host}")
        assert container.exec_run("systemctl is-system-running").output.strip() == b"running", host


def test_up_with_nothing_to_change_changes_nothing_within_20_s(environment: Environment) -> None:
    before = environment.containers()
    summary = environment.up()
    assert [layer["changed"] for layer in summary["layers"]] == [False, False, False], summary
    assert environment.containers() == before
    assert summary["seconds"] <= 20


def test_pulumi_by_hand_sees_the_same_environment_and_leaves_the_checkout_alone(
    environment: Environment,
) -> None:
    files = {path: path.read_bytes() for path in (ROOT / "stacks").glob("*/*") if path.is_file()}
    before = environment.containers()
    preview = environment.pulumi("foundation", "preview", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout + preview.stderr
    up = environment.pulumi("data", "up", "--yes", "--skip-preview", "--expect-no-changes")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "postgres_password: [secret]" in up.stdout
    assert environment.containers() == before
    assert {path: path.read_bytes() for path in (ROOT / "stacks").glob("*/*") if path.is_file()} == files


def test_up_repairs_drift_and_touches_nothing_else(environment: Environment) -> None:
    before = environment.containers()
    redis = environment.client.containers.get(f"{environment.name}-redis")
    redis.exec_run("sh -c 'echo kept > /tmp/mark'")
    redis.stop(timeout=5)
    environment.client.containers.get(f"{environment.name}-app2").remove(force=True)

    summary = environment.up()

    changes = {layer["layer"]: layer["changes"] for layer in summary["layers"]}
    assert changes["foundation"]["create"] == 1
    assert changes["data"]["update"] == 1
    after = environment.containers()
    assert {name for name, identity in after.items() if before[name] != identity} == {"app2"}
    redis.reload()
    assert redis.status == "running"
    assert redis.exec_run("cat /tmp/mark").output == b"kept\n"


def test_ansible_reaches_every_host_through_the_inventory(environment: Environment) -> None:
    before = os.times()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-inventory")), "-i", "inventory/dev.yml", "--list"],
        env=environment.variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    after = os.times()
    # Ansible wraps strings that came from outside, so that they are never run as templates.
    found = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
    assert set(found["plumbline"]["children"]) == {"edge", "app", "client"}
    assert found["app"]["hosts"] == ["app1", "app2", "app3"]
    variables = found["_meta"]["hostvars"]["app2"]
    assert variables["ansible_host"] == f"{environment.name}-app2"
    assert variables["plumbline_host_index"] == 1
    assert variables["plumbline_instance"] == environment.instance
    assert len(variables["plumbline_secrets"]["postgres_password"]) >= 32
    assert variables["plumbline_inventory"]["policy"]["faults_allowed"] is True
    # Time of the processor, since tests run beside other work; about half of it is Ansible itself.
    assert after.children_user - before.children_user <= 6


def test_the_password_works_and_is_nowhere_in_clear(environment: Environment) -> None:
    outputs = json.loads(environment.run("outputs", "--json", "--show-secrets").stdout)
    password = outputs["data"]["postgres_password"]
    masked = environment.run("outputs", "--json")
    assert password not in masked.stdout
    assert json.loads(masked.stdout)["data"]["postgres_password"] == "[secret]"

    name = f"{environment.name}-postgres"
    container = environment.client.containers.get(name)
    query = ["psql", "-h", "127.0.0.1", "-U", "idgen", "-d", "idgen", "-Atc", "select 1"]
    answer = container.exec_run(query, environment={"PGPASSWORD": password})
    assert answer.output.strip() == b"1"
    assert container.exec_run(query, environment={"PGPASSWORD": "wrong"}).exit_code != 0

    needle = password.encode()
    for path in environment.state.parent.rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path
    assert password not in json.dumps(environment.client.api.inspect_container(name))
    assert needle not in container.logs()
    mode = container.exec_run("stat -c %a:%U:%G /etc/plumbline/postgres-password").output.strip()
    assert mode == b"440:root:root"


def test_a_port_that_is_taken_is_said_before_anything_is_touched(environment: Environment) -> None:
    record = environment.state / "environment.json"
    kept = record.read_text()
    ours = json.loads(kept)
    ours["ports"]["edge1"] = ours["ports"]["prometheus"]
    record.write_text(json.dumps(ours))
    before = environment.containers()
    try:
        done = environment.run("up", code=2)
    finally:
        record.write_text(kept)
    assert f"for edge1 is taken by container {environment.name}-prometheus" in done.stderr
    assert environment.containers() == before


def test_destroy_removes_all_that_was_made_and_nothing_else(environment: Environment) -> None:
    foreign = environment.client.volumes.create(f"{environment.name}-foreign")
    try:
        environment.run("destroy")
        assert environment.leftovers() == []
        foreign.reload()
    finally:
        foreign.remove()
    with pytest.raises(NotFound):
        environment.client.networks.get(environment.name)
    assert not (environment.state / "environment.json").exists()
    assert not (environment.state / "pulumi").exists()
    environment.run("destroy")  # again: nothing to do is no failure
