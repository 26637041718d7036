"""Faults set by a call strike in every process of a running server, with the effect that their cause has."""

import statistics
import time

import pytest
from sqlalchemy import text

from tests.integration.app.conftest import until

pytestmark = pytest.mark.integration


def put(service, *faults):
    status, _, content = service.call("PUT", "/v1/faults", {"faults": list(faults)})
    assert status == 200, content
    return content


def touched_pids(service, count=16):
    """The processes that mark their answers now."""
    answers = [service.issue() for _ in range(count)]
    return {text for status, headers, text in answers if headers.get("X-Fault-Injected")}


def latency(service, count=9):
    """Median seconds of good answers, asked one after the other."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        status, _, _ = service.issue()
        assert status == 200
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def test_every_process_follows_within_two_seconds_and_metrics_and_headers_say_so(serve):
    service = serve()
    assert not touched_pids(service)
    pids = service.pids()
    assert len(pids) == 2
    put(service, {"kind": "cpu", "share": 1, "rounds": 100})
    time.sleep(2)
    until(lambda: touched_pids(service) == pids, 5, "both processes were asked")
    assert service.metric('idgen_faults_active{kind="cpu",mode="compute"') == 1
    assert service.metric('idgen_faults_injected_total{kind="cpu",mode="compute"') >= 2
    assert service.call("DELETE", "/v1/faults")[0] == 200
    time.sleep(2)
    assert not touched_pids(service)
    assert service.metric('idgen_faults_active{kind="cpu",mode="compute"') == 0


def test_each_fault_has_its_effect_and_it_ends_with_the_fault(serve, engine):
    service = serve()
    normal = latency(service)
    cases = [
        ({"kind": "cpu", "mode": "compute", "rounds": 400_000}, 200),
        ({"kind": "cpu", "mode": "lock", "rounds": 2_000_000, "threads": 8}, 200),
        ({"kind": "db", "mode": "slow_plan", "rows": 2_000}, 200),
        ({"kind": "db", "mode": "missing_index", "lookups": 10}, 200),
        ({"kind": "dependency", "mode": "slow", "delay_s": 0.4}, 200),
    ]
    for fault, _ in cases:
        put(service, {**fault, "share": 1})
        time.sleep(1.2)
        struck = latency(service, 5)
        print(f"{fault}: {struck * 1e3:.0f} ms, without {normal * 1e3:.0f} ms")
        assert struck > 2 * normal, fault
    put(service)
    time.sleep(1.2)
    assert latency(service) < 3 * normal
    with engine.connect() as connection:
        left = connection.execute(text("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'fault%'"))
        assert left.scalar_one() == 0


@pytest.mark.parametrize(
    ("fault", "at_least", "at_most"),
    [
        ({"kind": "dependency", "mode": "timeout", "timeout_s": 0.7}, 0.7, 3),
        ({"kind": "dependency", "mode": "error"}, 0, 0.6),
    ],
)
def test_a_dependency_that_fails_is_a_503_at_once_or_when_patience_ends(serve, fault, at_least, at_most):
    service = serve()
    put(service, {**fault, "share": 1})
    time.sleep(1.2)
    began = time.perf_counter()
    status, headers, content = service.issue()
    took = time.perf_counter() - began
    assert (status, headers["X-Fault-Injected"]) == (503, "dependency")
    assert "dependency-failed" in content
    assert at_least <= took < at_most
