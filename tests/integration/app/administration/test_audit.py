"""Audit events in a real Postgres, which goes away and comes back."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.audit import store
from app.audit.log import AuditLog
from app.storage import database

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def log_on(tmp_path):
    """log_on(engine): an audit log as the service makes it; closed after the test."""
    made = []

    def new(engine, **more) -> AuditLog:
        write, write_once = store.writers(engine)
        made.append(AuditLog(write, write_once=write_once, spool_dir=tmp_path / "spool", retry_s=0.2, **more))
        return made[-1]

    yield new
    for log in made:
        log.close(1)


def targets(engine) -> list[str]:
    query = text("SELECT target FROM audit_events WHERE action = 'test' ORDER BY at")
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def until(condition, timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_nothing_is_lost_while_postgres_stops_and_starts(server, template, log_on):
    engine = database.connect(server.new(template), pool_min=1, pool_max=4)
    failures = []
    log = log_on(
        engine, count=lambda outcome, events: failures.append(outcome) if outcome == "failed" else None
    )
    log.start()
    for number in range(100):
        log.record("test", f"a{number}", "ok")
    server.stop()
    try:
        slowest = 0.0
        for number in range(1_000):
            started = time.perf_counter()
            log.record("test", f"b{number}", "ok")
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 0.5, "recording waited for the database"
        assert until(lambda: failures)
    finally:
        server.start()
    wanted = [f"a{number}" for number in range(100)] + [f"b{number}" for number in range(1_000)]
    assert until(lambda: log.pending == 0)
    assert targets(engine) == wanted and log.dropped == 0
    engine.dispose()


def test_a_stop_while_postgres_is_away_loses_nothing_either(server, template, log_on, tmp_path):
    engine = database.connect(server.new(template), pool_min=1, pool_max=4)
    server.stop()
    try:
        log = log_on(engine)
        log.start()
        for number in range(1_000):
            log.record("test", f"a{number}", "ok", detail={"old": number, "new": number + 1})
        started = time.monotonic()
        log.close(3)
        assert time.monotonic() - started < 10, "a stop has its limit, give or take a slow disk"
        (file,) = (tmp_path / "spool").glob("audit-*.jsonl")
        assert file.stat().st_mode & 0o077 == 0
    finally:
        server.start()
    kept = file.read_bytes()
    log_on(engine).start()
    assert until(lambda: not file.exists())
    assert targets(engine) == [f"a{number}" for number in range(1_000)]
    # As if the process had died between the commit and the file's removal.
    file.write_bytes(kept)
    log_on(engine).start()
    assert until(lambda: not file.exists())
    assert len(targets(engine)) == 1_000
    engine.dispose()


def test_events_are_found_by_time_action_target_actor_and_result(service, root, refused):
    root.post("/v1/groups", {"name": "a"})
    root.post("/v1/groups", {"name": "b"})
    root.delete("/v1/groups/a")
    service.audit.record("degraded", "tag/orders", "snowflake", detail={"from": "segment"})
    everything = service.events()
    assert [event["action"] for event in everything if event["action"] != "key.used"] == [
        "group.created", "group.created", "group.removed", "degraded",
    ]  # fmt: skip
    assert everything[-1]["scope"] == "service" and everything[0]["scope"] == "workspace"

    def found(**query) -> list[str]:
        return [event["target"] for event in service.events(**query)]

    assert found(action="group.created") == ["group/a", "group/b"]
    assert found(action="group.*", target="group/a") == ["group/a", "group/a"]
    assert found(target="group/_") == [] == found(target="%*") == found(actor="group*")
    assert found(actor="key/*", action="group.removed") == ["group/a"]
    assert found(result="snowflake") == ["tag/orders"]
    second = everything[1]["at"]
    assert found(until=second, action="group.*") == ["group/a"]
    assert found(since=second, action="group.created") == ["group/b"]
    for wrong in (
        {"since": "2026-11-22T08:00:00"},
        {"since": "soon"},
        {"limit": 0},
        {"cursor": "x"},
        {"who": "me"},
    ):
        refused(root.get("/v1/audit", query=wrong), 400, "bad-request")


def test_pages_of_events_are_complete_even_where_times_are_equal(service, root):
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit_events (at, workspace_id, actor, action, target, result) "
                "SELECT '2026-01-01Z', 1, 'a', 'paged', i::text, 'ok' FROM generate_series(1, 25) i"
            )
        )
    seen, cursor = [], None
    while True:
        query = {"limit": 10, "action": "paged", **({"cursor": cursor} if cursor else {})}
        page = root.get("/v1/audit", query=query).json
        seen += [int(event["target"]) for event in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        # New events don't move the pages.
        service.audit.record("paged", "99", "ok", workspace_id=1)
        service.events()
    assert seen == list(range(25, 0, -1))


def test_a_workspace_sees_neither_anothers_events_nor_the_services(service, root, tenant):
    service.audit.record("degraded", "tag/orders", "snowflake")
    tenant.post("/v1/groups", {"name": "mine"})
    assert [event["target"] for event in service.events(tenant) if event["action"] != "key.used"] == [
        "group/mine"
    ]


def test_without_the_database_configuration_is_unavailable_and_says_so(server, service, root, refused):
    assert root.get("/v1/tags").status_code == 200, "the key is known from now on"
    server.stop()
    try:
        refused(root.get("/v1/tags"), 503, "database-unavailable")
        refused(root.post("/v1/tags", {"name": "lost"}), 503, "database-unavailable")
        refused(root.post("/v1/alerts", ALERTS), 503, "database-unavailable")
    finally:
        server.start()
    assert until(lambda: root.get("/v1/tags").status_code == 200)
    assert "lost" not in root.get("/v1/tags").text


ALERTS = {
    "version": "4",
    "groupKey": '{}:{alertname="BurnRate"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "audit",
    "groupLabels": {"alertname": "BurnRate"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "BurnRate", "severity": "page"},
            "annotations": {"summary": "errors burn the budget"},
            "startsAt": "2026-11-22T07:59:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "c4ca4238a0b92382",
            "futureField": {"x": 1},
        }
    ],
}


def test_an_alert_is_an_event_once_however_often_it_is_told(service, root):
    assert root.post("/v1/alerts", ALERTS).json == {"recorded": 1, "repeated": 0}
    assert root.post("/v1/alerts", ALERTS).json == {"recorded": 0, "repeated": 1}
    (event,) = service.events(action="alert.*")
    assert (event["action"], event["target"], event["result"]) == (
        "alert.firing", "alert/c4ca4238a0b92382", "BurnRate",
    )  # fmt: skip
    assert event["detail"]["labels"] == {"alertname": "BurnRate", "severity": "page"}
    alert = ALERTS["alerts"][0]
    resolved = {**alert, "status": "resolved", "endsAt": "2026-11-22T08:10:00Z"}
    again = {**alert, "startsAt": "2026-11-22T08:30:00Z"}
    told = {**ALERTS, "alerts": [resolved, again, again, alert]}
    assert root.post("/v1/alerts", told).json == {"recorded": 2, "repeated": 2}
    assert root.post("/v1/alerts", {**ALERTS, "alerts": []}).json == {"recorded": 0, "repeated": 0}


def test_an_alert_that_two_alertmanagers_tell_at_once_is_one_event(service):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.as_().post("/v1/alerts", ALERTS).json, range(8)))
    assert sum(answer["recorded"] for answer in answers) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": "3"}, "version: '3'"),
        ({"alerts": [{"status": "firing"}]}, "alerts.0.labels: missing"),
        ({"alerts": [{**ALERTS["alerts"][0], "status": "odd"}]}, "alerts.0.status: 'odd'"),
        ({"alerts": [{**ALERTS["alerts"][0], "startsAt": "2026-11-22"}]}, "alerts.0.startsAt"),
        ({"alerts": [{**ALERTS["alerts"][0], "fingerprint": "../x"}]}, "alerts.0.fingerprint"),
        ({"alerts": None}, "alerts: None"),
    ],
)
def test_a_malformed_notification_is_refused_and_records_nothing(service, root, refused, change, named):
    assert named in refused(root.post("/v1/alerts", {**ALERTS, **change}), 400, "bad-request")
    assert service.events(action="alert.*") == []


def test_only_operators_tell_alerts(service, tenant, refused):
    refused(tenant.post("/v1/alerts", ALERTS), 403, "scope-missing")


def test_old_alerts_do_not_stop_new_ones_from_being_told(service, root):
    starts = AT - timedelta(days=400)
    old = {**ALERTS, "alerts": [{**ALERTS["alerts"][0], "startsAt": starts.isoformat()}]}
    assert root.post("/v1/alerts", old).json["recorded"] == 1
    assert root.post("/v1/alerts", old).json["recorded"] == 0
