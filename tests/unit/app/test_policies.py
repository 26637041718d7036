"""The policy client against the real downstream service."""

import threading
import time

import pytest

from app.downstream import Server, main
from app.policies import FRESH_S, DependencyFailedError, Policies, Policy


@pytest.fixture
def serve():
    running = []

    def begin(faults_allowed=True):
        server = Server(("127.0.0.1", 0), faults_allowed=faults_allowed)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        running.append(server)
        return server, f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


def client(url, failures=None, clock=time.monotonic):
    return Policies(url, clock, (failures if failures is not None else []).append)


def test_a_slow_answer_really_takes_the_asked_time(serve):
    _, url = serve()
    started = time.monotonic()
    assert client(url).ask("events", "slow;delay_s=0.4").enabled
    assert 0.4 <= time.monotonic() - started < 1.5


def test_an_error_is_a_failed_dependency(serve):
    _, url = serve()
    with pytest.raises(DependencyFailedError, match="500"):
        client(url).ask("events", "error")


def test_a_timeout_is_the_clients_own_patience_with_a_service_that_says_nothing(serve):
    _, url = serve()
    started = time.monotonic()
    with pytest.raises(DependencyFailedError, match="timed out"):
        client(url).ask("events", "timeout", 0.4)
    assert 0.4 <= time.monotonic() - started < 1.5
    assert client(url).ask("events", "none").enabled, "the others are answered"


def test_a_silent_answer_ends_when_its_client_is_gone(serve):
    _, url = serve()
    before = set(threading.enumerate())
    with pytest.raises(DependencyFailedError):
        policies = client(url)
        policies.ask("events", "timeout", 0.1)
    policies.close()
    deadline = time.monotonic() + 3
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, "no thread of the service waits on"


def test_a_downstream_that_allows_no_faults_answers_well(serve):
    _, url = serve(faults_allowed=False)
    started = time.monotonic()
    assert client(url).ask("events", "error") == Policy()
    assert client(url).ask("events", "slow;delay_s=5") == Policy()
    assert client(url).ask("events", "timeout") == Policy()
    assert time.monotonic() - started < 2


def test_an_absurd_delay_is_refused_or_cut(serve):
    _, url = serve()
    assert client(url).ask("events", "slow;delay_s=-1") == Policy()
    assert client(url).ask("events", "slow;delay_s=nan") == Policy()


def test_a_policy_is_asked_once_while_fresh_and_kept_when_the_service_is_away(serve):
    server, url = serve()
    now, failures = [0.0], []
    policies = client(url, failures, lambda: now[0])
    first = policies.of("events")
    server.shutdown()
    server.server_close()
    assert policies.of("events") is first
    assert failures == []
    now[0] += FRESH_S
    policies._client.close()
    policies = client("http://127.0.0.1:9", failures, lambda: now[0])
    assert policies.of("events") == Policy()
    assert len(failures) == 1
    policies.of("events")
    assert len(failures) == 1, "an outage is met once per period, not once per request"


def test_a_bad_address_is_refused(capsys):
    assert main(["--bind", "localhost"]) == 2
    assert "HOST:PORT" in capsys.readouterr().err
