"""The service from its bundle, under gunicorn on the hosts' Python, with a real database and downstream."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import build
from app.bundle import layer
from infra.paths import cache_dir, repo_root

from .conftest import VERSION, docker, until

pytestmark = pytest.mark.integration


def draw(host, tag, count=50):
    status, _, content = host.call("POST", f"/v1/ids/{tag}?count={count}")
    return [int(value) for value in content["ids"]] if status == 200 else []


def test_the_bundle_serves_its_version_and_no_id_twice_over_kills_and_restarts(install):
    host = install()
    host.start()
    status, headers, content = host.call("POST", "/v1/ids/orders?count=3")
    assert status == 200
    assert headers["X-Plumbline-Version"] == VERSION
    assert headers["X-Plumbline-Slot"] == "blue"
    assert content["algorithm"] == "segment"
    seen = {"orders": [], "events": []}

    def draw_some(rounds):
        with ThreadPoolExecutor(4) as pool:
            for tag in seen:
                for drawn in pool.map(lambda _, tag=tag: draw(host, tag), range(rounds)):
                    seen[tag] += drawn

    draw_some(20)
    workers = host.shell("pgrep -P $(cat /run/gunicorn.pid)").split()
    assert len(workers) == 2
    host.shell(f"kill -9 {workers[0]}")
    draw_some(20)
    until(lambda: len(host.shell("pgrep -P $(cat /run/gunicorn.pid)").split()) == 2, 20, "worker again")
    host.shell("kill -9 $(cat /run/gunicorn.pid) $(pgrep -P $(cat /run/gunicorn.pid))")
    host.serve()
    draw_some(20)
    host.stop()
    host.serve()
    draw_some(20)
    for tag, ids in seen.items():
        assert len(ids) > 2_000, tag
        assert len(ids) == len(set(ids)), tag


def test_a_graceful_stop_answers_what_was_begun(install):
    host = install(faults_allowed=True)
    host.configure({"faults": [{"kind": "dependency", "mode": "slow", "share": 1, "delay_s": 2}]})
    host.start()
    answers = []
    begun = threading.Thread(target=lambda: answers.append(host.call("POST", "/v1/ids/events")))
    begun.start()
    time.sleep(0.7)
    host.shell("kill -TERM $(cat /run/gunicorn.pid)")
    begun.join(timeout=20)
    assert answers[0][0] == 200
    gone = "! kill -0 $(cat /run/gunicorn.pid 2>/dev/null) 2>/dev/null && echo gone"
    until(lambda: host.shell(gone, check=False), 35, "gunicorn gone")


def test_metrics_add_up_over_the_processes_and_begin_at_zero_after_a_restart(install):
    host = install()
    host.start()
    for _ in range(40):
        host.call("POST", "/v1/ids/events")

    def total():
        lines = host.call("GET", "/metrics")[2]["text"].splitlines()
        start = (
            'idgen_generate_requests_total{algorithm="snowflake",outcome="ok",slot="blue",version="1.2.3"}'
        )
        return [float(line.split()[-1]) for line in lines if line.startswith(start)]

    assert total() == [40.0]
    host.stop()
    host.serve()
    assert total() == [0.0]


def ranges_held(host) -> float:
    lines = host.call("GET", "/metrics")[2]["text"].splitlines()
    name = 'idgen_segment_loads_total{outcome="ok"'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_it_stays_ready_and_issues_when_the_database_goes_away(install, postgres):
    host = install()
    host.start()
    # /readyz is answered by whichever process is there; both must hold a range before the database goes.
    until(lambda: ranges_held(host) >= 2, 20, "both processes warm")
    assert draw(host, "orders", 1)  # so that the key is known: to this process, and by Redis to the other
    close = "ALTER DATABASE ids ALLOW_CONNECTIONS false"
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ids'"
    docker("exec", postgres.name, "psql", "-U", "postgres", "-d", "postgres", "-c", close, "-c", end)
    assert host.call("GET", "/readyz")[0] == 200
    assert len(draw(host, "orders", 100)) == 100
    assert len(draw(host, "events", 100)) == 100


def test_faults_that_are_not_allowed_keep_it_from_starting_with_the_keys_name(install):
    host = install(faults_allowed=False)
    host.configure({"faults": [{"kind": "cpu", "share": 0.5}]})
    run = host.python("-m", "gunicorn", "-c", "/opt/release/gunicorn.conf.py", check=False)
    assert run.returncode == 2
    assert "PLUMBLINE_FAULTS_ALLOWED" in run.stderr
    assert "Traceback" not in run.stderr


def test_another_version_than_the_bundles_is_refused(install):
    host = install()
    host._environment["PLUMBLINE_VERSION"] = "9.9.9"
    run = host.python("-m", "gunicorn", "-c", "/opt/release/gunicorn.conf.py", check=False)
    assert run.returncode == 2
    assert "PLUMBLINE_VERSION" in run.stderr
    assert VERSION in run.stderr


def test_the_dependency_fault_slows_and_fails_its_share_and_marks_it(install):
    host = install(faults_allowed=True)
    host.configure({
        "faults": [
            {"kind": "dependency", "mode": "slow", "share": 0.3, "delay_s": 0.5},
            {"kind": "dependency", "mode": "error", "share": 0.3},
        ]
    })  # fmt: skip
    host.start()

    def one(_):
        started = time.monotonic()
        status, headers, _ = host.call("POST", "/v1/ids/events")
        return status, headers.get("X-Fault-Injected"), time.monotonic() - started

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(200)))
    touched = [a for a in answers if a[1]]
    clean = [a for a in answers if not a[1]]
    # Each of the two draws misses with probability 0.7, so 51 % are touched; 200 requests, 5 sigma.
    assert 64 <= len(touched) <= 140
    assert all(kind == "dependency" for _, kind, _ in touched)
    assert all(status == 200 for status, _, _ in clean)
    assert 25 <= sum(status == 503 for status, _, _ in touched) <= 95
    slow_and_good = [seconds for status, _, seconds in touched if status == 200]
    assert slow_and_good
    assert min(slow_and_good) >= 0.5
    assert sorted(seconds for _, _, seconds in clean)[len(clean) // 2] < 0.45


def test_the_cpu_and_db_faults_take_real_time(install):
    host = install(faults_allowed=True)
    cases = (
        {"kind": "cpu", "share": 1, "rounds": 600_000},
        {"kind": "db", "share": 1, "rows": 3_000},
    )
    host.python("-m", "app.downstream", detach=True)
    for fault in cases:
        host.configure({"faults": [fault]})
        host.serve()
        started = time.monotonic()
        status, headers, _ = host.call("POST", "/v1/ids/events")
        took = time.monotonic() - started
        assert (status, headers["X-Fault-Injected"]) == (200, fault["kind"])
        assert took > 0.15, fault
        host.stop()


def test_the_same_inputs_give_the_same_bundle_and_the_second_version_is_quick(bundle, tmp_path):
    started = time.monotonic()
    arguments = (repo_root(), cache_dir() / "bundle-layers", layer.find_compiler())
    again = json.loads(build.build(VERSION, tmp_path, *arguments).read_text())
    other = json.loads(build.build("1.2.4", tmp_path, *arguments).read_text())
    assert time.monotonic() - started < 6
    assert (tmp_path / again["file"]).read_bytes() == bundle.read_bytes()
    assert other["sha256"] != again["sha256"]
    assert set(other) >= {"version", "sha256", "wheel_sha256", "lock_sha256", "commit", "dirty", "python"}
