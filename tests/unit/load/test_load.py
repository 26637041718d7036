"""Load: where it may go, and how a run on the client host begins and ends."""

import json

import pytest

from infra.inventory import Inventory
from release.engine.request import BadRequest
from release.load.destination import destination
from release.load.run import LOG, SUMMARY, AlreadyRuns, LoadClient, LoadError, Wanted
from release.targets.transport import Answer

COUNTS = {
    "requests": 10,
    "failed": 3,
    "failed_in_fault": 2,
    "failed_outside_fault": 1,
    "not_sent": 0,
    "rate_per_s": 600,
    "duration_s": 1.5,
    "versions": {
        "1.0.0": dict.fromkeys(
            ("requests", "ok", "failed_in_fault", "failed", "p50_ms", "p95_ms", "p99_ms"), 1
        )
    },
}


def inventory(
    edge="198.18.16.11", sources="198.18.17.1-198.18.17.250", url="https://edge.plumbline.internal"
):
    return Inventory.model_validate({
        "environment": "dev",
        "hosts": [
            {"name": "edge1", "groups": ["edge"], "address": edge, "connection": "docker", "container": "e"},
            {"name": "client1", "groups": ["client"], "address": "198.18.16.31", "connection": "docker",
             "container": "plumbline-dev-client1"},
        ],
        "load": {"client": "client1", "sources": sources, "target_url": url},
    })  # fmt: skip


class Client:
    """A client host: answers commands and remembers them. A run ends when `systemctl stop` is called."""

    def __init__(self, files=None, active=False, comes_up=True):
        self.files, self.active, self.comes_up = dict(files or {}), active, comes_up
        self.commands = []

    def __call__(self, host, argv, *, stdin=None, timeout_s=10.0):
        self.commands.append(list(argv))
        match argv[0], argv[1] if len(argv) > 1 else "":
            case "systemctl", "is-active":
                return Answer(0 if self.active else 3, "active\n" if self.active else "inactive\n", "")
            case "systemctl", "stop":
                self.active = False
                self.files[SUMMARY] = json.dumps(COUNTS)
            case "systemd-run", _:
                self.active = self.comes_up
            case "cat", path:
                return Answer(0, self.files[path], "") if path in self.files else Answer(1, "", "no file")
            case "journalctl", _:
                return Answer(0, "k6: no such flag\n", "")
        return Answer(0, "", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"edge": "93.184.216.34"},
        {"edge": "10.0.0.5"},
        {"edge": "198.20.0.1"},
        {"url": "https://example.org"},
        {"url": "http://edge.plumbline.internal"},
        {"url": "https://198.18.16.12"},
        {"sources": "10.0.0.1-10.0.0.9"},
        {"sources": "198.18.0.0-198.19.0.0"},
        {"sources": "198.18.17.9-198.18.17.1"},
    ],
)
def test_load_goes_only_to_the_environments_own_edge(wrong):
    client = Client()
    with pytest.raises(BadRequest, match="not allowed; allowed"):
        LoadClient(inventory(**wrong), run=client)
    assert client.commands == []


@pytest.mark.parametrize("edge", ["198.18.16.11", "198.19.255.254", "127.0.0.1"])
def test_the_projects_own_ranges_are_allowed(edge):
    assert destination(inventory(edge=edge)).address == edge


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": 10_001},
        {"duration": "15"},
        {"duration": "0s"},
        {"duration": "25h"},
        {"versions": ["x"]},
    ],
)
def test_a_wrong_wish_is_refused_by_name(wrong):
    with pytest.raises(BadRequest, match=next(iter(wrong)).removesuffix("s")):
        Wanted(**wrong)


def test_a_run_uses_all_source_addresses_and_the_environments_ca(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda s: None)
    client = Client()
    LoadClient(inventory(), run=client).start(Wanted(600, "60s", ["1.0.0", "1.1.0"]))
    command = next(c for c in client.commands if c[0] == "systemd-run")
    assert "--local-ips=198.18.17.1-198.18.17.250" in command
    assert "--setenv=VERSIONS=1.0.0,1.1.0" in command
    assert "--setenv=RATE=600" in command
    assert '--setenv=HOSTS={"edge.plumbline.internal": "198.18.16.11"}' in command
    assert "--setenv=SSL_CERT_FILE=/etc/plumbline/ca.pem" in command


def test_a_second_run_is_refused_and_the_first_left_alone():
    client = Client(active=True)
    with pytest.raises(AlreadyRuns, match="client1"):
        LoadClient(inventory(), run=client).start(Wanted())
    assert [c[0] for c in client.commands] == ["systemctl"]


def test_a_run_that_ends_at_once_says_what_k6_said(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda s: None)
    with pytest.raises(LoadError, match="no such flag"):
        LoadClient(inventory(), run=Client(comes_up=False)).start(Wanted())


def test_stop_ends_the_run_and_brings_its_counts():
    counts = LoadClient(inventory(), run=Client(active=True)).stop()
    assert (counts.requests, counts.failed_outside_fault, counts.failed_in_fault) == (10, 1, 2)
    assert counts.versions["1.0.0"].ok == 1


def test_stop_after_the_run_ended_by_itself_brings_its_counts():
    client = Client({SUMMARY: json.dumps(COUNTS)})
    assert LoadClient(inventory(), run=client).stop().requests == 10
    assert not any(c[:2] == ["systemctl", "stop"] for c in client.commands)


def test_without_counts_stop_says_so():
    with pytest.raises(LoadError, match="no counts on client1"):
        LoadClient(inventory(), run=Client()).stop()


def test_failures_are_read_and_k6s_own_messages_left_out():
    failure = {"time": "2026-01-01T00:00:00Z", "status": 502, "error": "", "version": "1.0.0"}
    log = "\n".join(
        [json.dumps({"msg": json.dumps(failure)}), json.dumps({"msg": "Request Failed"}), "half a"]
    )
    status = LoadClient(inventory(), run=Client({LOG: log})).status()
    assert status.failures == [failure]
    assert not status.running
