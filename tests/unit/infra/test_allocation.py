"""What an environment holds on the machine: subnets don't overlap, records survive, secrets stay private."""

import ipaddress
import json
import socket
from pathlib import Path

import pytest

from infra import allocation
from infra.addresses import Addresses
from infra.allocation import Allocation, AllocationError

RECORD = Allocation(
    environment="dev",
    instance="one",
    subnet="198.18.20.0/22",
    ports={"edge1": 18443},
    cgroup_version=1,
    docker_plugin="bundled",
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUMBLINE_STATE", str(tmp_path))
    return tmp_path


def test_the_same_name_gets_the_same_subnet_and_never_one_that_is_taken() -> None:
    first = allocation.free_subnet("plumbline-dev-one", [])
    assert allocation.free_subnet("plumbline-dev-one", []) == first
    second = allocation.free_subnet("plumbline-dev-one", [first, "172.17.0.0/16"])
    assert not ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second))
    assert ipaddress.ip_network(second).subnet_of(ipaddress.ip_network("198.18.0.0/15"))


def test_the_default_environment_s_subnet_is_never_given_to_an_instance() -> None:
    default = ipaddress.ip_network("198.18.16.0/22")
    for number in range(300):
        assert not ipaddress.ip_network(allocation.free_subnet(f"name-{number}", [])).overlaps(default)


def test_when_every_subnet_is_taken_it_says_so() -> None:
    with pytest.raises(AllocationError, match=r"198\.18\.0\.0/15 is taken"):
        allocation.free_subnet("any", ["198.18.0.0/15"])


def test_a_record_is_read_back_as_it_was_written_and_can_be_given_back() -> None:
    assert allocation.read("dev", "one") is None
    allocation.write(RECORD)
    assert allocation.read("dev", "one") == RECORD
    assert allocation.recorded() == [RECORD]
    allocation.forget("dev", "one")
    assert allocation.read("dev", "one") is None


def test_a_record_of_another_schema_version_is_refused_by_name() -> None:
    allocation.write(RECORD)
    path = allocation.record_path("dev", "one")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 9}))
    with pytest.raises(AllocationError, match=r"schema_version is 9; allowed"):
        allocation.read("dev", "one")


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not allocation.is_port_free(listener.getsockname()[1])
    assert allocation.is_port_free(allocation.free_port(set()))


def test_the_passphrase_is_private_and_made_once() -> None:
    path = allocation.passphrase_file("dev", "one")
    first = path.read_text()
    assert len(first) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert allocation.passphrase_file("dev", "one").read_text() == first


def test_addresses_follow_the_plan() -> None:
    plan = Addresses("198.18.16.0/22")
    assert (plan.gateway, plan.host("edge", 1), plan.host("app", 3)) == (
        "198.18.16.1",
        "198.18.16.11",
        "198.18.16.23",
    )
    assert (plan.host("client", 1), plan.service("postgres"), plan.service("prometheus")) == (
        "198.18.16.31",
        "198.18.16.41",
        "198.18.16.51",
    )
    assert plan.load_sources == "198.18.17.1-198.18.17.250"
