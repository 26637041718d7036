"""The service's metrics: declared once, right over several processes, cheap where every request pays."""

import os
import subprocess
import sys

import pytest
from prometheus_client import parser

from app.faults.config import MODES
from app.observing.metrics import TABLE, Metrics
from app.observing.metrics.__main__ import PATH, main, page
from app.observing.metrics.operations import FAULTS
from app.observing.metrics.series import Metric

REQUIRED = {
    "idgen_generate_requests_total",
    "idgen_generate_duration_seconds",
    "idgen_segment_usage_ratio",
    "plugin_reload_total",
    "plugin_reload_duration_seconds",
    "snapshot_create_total",
    "snapshot_restore_total",
    "snapshot_cleanup_total",
}

PROCESS = """
import sys
from app.observing.metrics import Metrics
metrics = Metrics("blue", "1.0.0")
for _ in range(int(sys.argv[1])):
    metrics.request("snowflake", "ok", 0.003, 10)
metrics.segment_usage("orders", float(sys.argv[2]))
metrics.storage.pool({"in_use": 2, "idle": 1, "max": 10, "waiting": 0})
metrics.issuing.exhaustion_days(float(sys.argv[2]) * 100)
if sys.argv[3] == "show":
    sys.stdout.write(metrics.render().decode())
else:
    print("counted", flush=True)
    sys.stdin.read()
"""


def series(text: str) -> dict[str, float]:
    """name{labels} without slot and version -> value."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [f"{k}={v}" for k, v in sorted(sample.labels.items()) if k not in ("slot", "version")]
            assert {"slot", "version"} <= set(sample.labels), sample
            found[f"{sample.name}{{{','.join(labels)}}}"] = sample.value
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("green", "1.2.3", slugs=["bad-count"])


def shown(metrics: Metrics) -> dict[str, float]:
    return series(metrics.render().decode())


def test_the_required_names_are_there():
    assert {metric.name for metric in TABLE} >= REQUIRED
    assert len({metric.name for metric in TABLE}) == len(TABLE)


def test_the_page_of_metrics_is_what_the_tables_say(tmp_path, capsys):
    assert PATH.read_text() == page(), "run: python -m app.observing.metrics"
    other = tmp_path / "metrics.md"
    assert main(["--check"], other) == 1
    assert "run: python" in capsys.readouterr().err
    assert main([], other) == 0
    assert main(["--check"], other) == 0


def test_every_bounded_series_exists_at_zero_before_anything_happened(metrics):
    found = shown(metrics)
    for metric in TABLE:
        if metric.kind == "counter" and None not in metric.labels.values():
            combinations = 1
            for values in metric.labels.values():
                combinations *= len(values)
            mine = [value for name, value in found.items() if name.startswith(metric.name + "{")]
            assert mine == [0.0] * combinations, metric.name
    assert found["idgen_problems_total{slug=bad-count}"] == 0
    assert found["idgen_faults_active{kind=cpu,mode=lock}"] == 0


def test_a_gauge_for_which_zero_is_an_alarm_is_absent_until_it_is_known(metrics):
    assert "idgen_snowflake_exhaustion_days{}" not in shown(metrics)
    metrics.issuing.exhaustion_days(25_000)
    assert shown(metrics)["idgen_snowflake_exhaustion_days{}"] == 25_000


def test_the_faults_that_metrics_know_are_those_that_can_be_configured():
    assert dict(FAULTS) == MODES


def test_a_request_is_counted_timed_and_its_ids_added(metrics):
    metrics.request("segment", "ok", 0.005, 7)
    metrics.request("segment", "refused", 11, 0)
    found = shown(metrics)
    assert found["idgen_generate_requests_total{algorithm=segment,outcome=ok}"] == 1
    assert found["idgen_generate_requests_total{algorithm=segment,outcome=refused}"] == 1
    assert found["idgen_ids_total{algorithm=segment}"] == 7
    assert found["idgen_generate_duration_seconds_sum{algorithm=segment}"] == 11.005
    assert found["idgen_generate_duration_seconds_bucket{algorithm=segment,le=0.005}"] == 1, "edges belong"
    assert found["idgen_generate_duration_seconds_bucket{algorithm=segment,le=10.0}"] == 1
    assert found["idgen_generate_duration_seconds_bucket{algorithm=segment,le=+Inf}"] == 2


def test_a_plugins_algorithm_makes_no_series_of_its_own(metrics):
    metrics.request("somebodys_own", "ok", 0.1, 3)
    metrics.issuing.switched("orders", "somebodys_own", "uuid7", degraded=True)
    found = shown(metrics)
    assert found["idgen_ids_total{algorithm=plugin}"] == 3
    assert found["idgen_router_switches_total{from=plugin,to=uuid7}"] == 1
    assert found["idgen_degraded_state{tag=orders}"] == 1
    assert not any("somebodys_own" in name for name in found)


def test_faults_that_ended_show_zero_again(metrics):
    metrics.faults_active([("db", "slow_plan", 0.2), ("db", "slow_plan", 0.1)])
    assert shown(metrics)["idgen_faults_active{kind=db,mode=slow_plan}"] == 0.2
    metrics.faults_active([])
    assert shown(metrics)["idgen_faults_active{kind=db,mode=slow_plan}"] == 0


def test_each_subject_reports_what_it_was_told(metrics):
    metrics.issuing.leased("ok", 500)
    metrics.issuing.preload("late")
    metrics.issuing.segment_load("error")
    metrics.issuing.capacity_used("orders", 0.25)
    metrics.issuing.clock_rollback("logical")
    metrics.issuing.ring_take("int64", hit=True)
    metrics.issuing.ring_fill("uuid", 0.5)
    metrics.coordination.lease(held=True, remaining_s=21)
    metrics.coordination.lease_event("renewed")
    metrics.coordination.config_update("refused")
    metrics.storage.acquired(0.002)
    metrics.storage.acquired(5, timed_out=True)
    metrics.storage.cache("tags", "hit")
    metrics.storage.redis_call("get", "ok")
    metrics.storage.redis_up(True)
    metrics.storage.key_found("l2")
    metrics.problem("bad-count")
    metrics.operations.audit("written", 3)
    metrics.operations.audit_queued(4)
    metrics.operations.alert("firing")
    metrics.operations.plugins_reloaded("ok", 0.2)
    metrics.operations.snapshot("restore", "ok")
    metrics.fault_struck("cpu", "lock")
    metrics.rpc.serves(["Generate"])
    metrics.rpc.request("Generate", "ok", 0.001)
    found = shown(metrics)
    expected = {
        "idgen_leases_total{outcome=ok}": 1,
        "idgen_leased_ids_total{}": 500,
        "idgen_segment_preloads_total{outcome=late}": 1,
        "idgen_segment_loads_total{outcome=error}": 1,
        "idgen_segment_capacity_used_ratio{tag=orders}": 0.25,
        "idgen_clock_rollbacks_total{tier=logical}": 1,
        "idgen_ring_buffer_takes_total{kind=int64,outcome=hit}": 1,
        "idgen_ring_buffer_fill_ratio{kind=uuid}": 0.5,
        "idgen_worker_lease_held{}": 1,
        "idgen_worker_lease_remaining_seconds{}": 21,
        "idgen_worker_lease_events_total{event=renewed}": 1,
        "idgen_config_updates_total{outcome=refused}": 1,
        "idgen_db_pool_acquire_seconds_count{}": 2,
        "idgen_db_pool_timeouts_total{}": 1,
        "idgen_cache_requests_total{cache=tags,outcome=hit}": 1,
        "idgen_redis_calls_total{operation=get,outcome=ok}": 1,
        "idgen_redis_up{}": 1,
        "idgen_key_cache_hits_total{level=l2}": 1,
        "idgen_problems_total{slug=bad-count}": 1,
        "idgen_audit_events_total{outcome=written}": 3,
        "idgen_audit_queued{}": 4,
        "idgen_alerts_total{status=firing}": 1,
        "plugin_reload_total{outcome=ok}": 1,
        "plugin_reload_duration_seconds_count{}": 1,
        "snapshot_restore_total{outcome=ok}": 1,
        "idgen_faults_injected_total{kind=cpu,mode=lock}": 1,
        "idgen_grpc_requests_total{method=Generate,outcome=ok}": 1,
        "idgen_grpc_requests_total{method=Generate,outcome=error}": 0,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "name", "merge"), [("gauge", "x", None), ("counter", "x", None), ("histogram", "x_total", None)]
)
def test_a_metric_declared_against_the_rules_is_refused(kind, name, merge):
    with pytest.raises(ValueError, match=name):
        Metric(name, kind, "help", merge=merge)


def test_processes_add_up_and_gauges_merge_as_declared(tmp_path):
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", PROCESS]
    first = subprocess.Popen(
        [*command, "40", "0.25", "wait"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert first.stdout.readline() == b"counted\n"
        text = subprocess.run(
            [*command, "2", "0.75", "show"], env=environment, capture_output=True, text=True, check=True
        ).stdout
    finally:
        first.communicate()
    found = series(text)
    assert found["idgen_generate_requests_total{algorithm=snowflake,outcome=ok}"] == 42
    assert found["idgen_ids_total{algorithm=snowflake}"] == 420
    assert found["idgen_generate_duration_seconds_count{algorithm=snowflake}"] == 42
    assert found["idgen_generate_duration_seconds_sum{algorithm=snowflake}"] == pytest.approx(0.126)
    assert found["idgen_generate_requests_total{algorithm=none,outcome=error}"] == 0
    assert found["idgen_segment_usage_ratio{tag=orders}"] == 0.75
    assert found["idgen_db_pool_in_use{}"] == 4
    assert found["idgen_snowflake_exhaustion_days{}"] == 25, "the nearest end counts"


COST = """
import time
from prometheus_client import Counter, Histogram
from app.observing.metrics import Metrics
from app.observing.metrics.series import BUCKETS_S
metrics = Metrics("blue", "1.0.0")
counter = Counter("plain", "x", ["a"]).labels(a="1")
histogram = Histogram("plain_seconds", "x", ["a"], buckets=BUCKETS_S).labels(a="1")

def plain():
    counter.inc()
    histogram.observe(0.001)
    counter.inc(5)

def cost(call, rounds=10_000):
    best = 1e9
    for _ in range(5):
        began = time.thread_time()
        for _ in range(rounds):
            call()
        best = min(best, (time.thread_time() - began) / rounds)
    return best

print(cost(lambda: metrics.request("segment", "ok", 0.001, 5)), cost(plain))
"""


def test_counting_a_request_costs_less_than_half_of_prometheus_clients_own_calls(tmp_path):
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    run = subprocess.run(
        [sys.executable, "-c", COST], env=environment, capture_output=True, text=True, check=True
    )
    ours, plain = map(float, run.stdout.split())
    # Both in one run, in CPU time, so that a busy or slower machine changes neither's share of the other.
    assert ours < plain / 2, f"{ours * 1e6:.1f} us against {plain * 1e6:.1f} us"
    assert ours < 20e-6
