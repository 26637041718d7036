"""The audit log's promises: never in the way, nothing lost on a graceful stop."""

import threading
import time

import pytest

from app.audit.log import AuditLog
from app.audit.spool import PATTERN


class Store:
    """A table in memory that can be away, or slow to answer."""

    def __init__(self) -> None:
        self.events, self.away, self.gate = [], False, threading.Event()
        self.gate.set()
        self.batches = []

    def write(self, events) -> None:
        self.gate.wait(20)
        if self.away:
            raise ConnectionError("the database is away")
        self.batches.append(len(events))
        self.events.extend(events)

    def write_once(self, events) -> None:
        known = {event.at for event in self.events}
        self.write([event for event in events if event.at not in known])

    @property
    def targets(self) -> list[str]:
        return [event.target for event in self.events if event.action != "audit.dropped"]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def counts() -> dict[str, int]:
    return {}


@pytest.fixture
def new_log(store, tmp_path, counts):
    made = []

    def count(outcome: str, events: int) -> None:
        counts[outcome] = counts.get(outcome, 0) + events

    def new(**more) -> AuditLog:
        options = {"write_once": store.write_once, "spool_dir": tmp_path, "count": count, "retry_s": 0.05}
        made.append(AuditLog(store.write, **{**options, **more}))
        return made[-1]

    yield new
    store.gate.set()
    for log in made:
        log.close(1)


def until(condition, timeout_s: float = 5) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_events_are_written_in_order_with_their_request_and_in_few_batches(new_log, store):
    log = new_log(context=lambda: ("request-1", "trace-1"))
    log.start()
    for number in range(1_000):
        log.record("tag.changed", f"tag/{number}", "ok", workspace_id=1, actor="key:a", detail={"old": 1})
    log.close()
    assert store.targets == [f"tag/{number}" for number in range(1_000)]
    assert len(store.batches) <= 10
    first = store.events[0]
    assert (first.workspace_id, first.actor, first.request_id, first.trace_id) == (
        1, "key:a", "request-1", "trace-1",
    )  # fmt: skip
    assert first.detail == {"old": 1}


def test_recording_does_not_wait_for_a_hanging_database_and_a_full_queue_drops_and_tells(
    new_log, store, counts
):
    log = new_log(size=100)
    store.gate.clear()
    log.start()
    started = time.monotonic()
    for number in range(1_000):
        log.record("tag.changed", f"tag/{number}", "ok")
    assert time.monotonic() - started < 1
    dropped = log.dropped
    assert 800 <= dropped <= 900 == 1_000 - 100
    store.gate.set()
    log.close()
    told = [event for event in store.events if event.action == "audit.dropped"]
    assert sum(event.detail["events"] for event in told) == dropped == counts["dropped"]
    assert len(store.targets) == 1_000 - dropped


def test_events_wait_for_a_database_that_is_away(new_log, store, counts):
    log = new_log()
    store.away = True
    log.start()
    log.record("tag.changed", "tag/a", "ok")
    assert until(lambda: counts.get("failed", 0) >= 3)
    assert log.pending == 1
    store.away = False
    assert until(lambda: store.targets == ["tag/a"])


def test_a_graceful_stop_without_the_database_keeps_everything_for_the_next_start(
    new_log, store, tmp_path, counts
):
    store.away = True
    log = new_log()
    log.start()
    for number in range(1_200):
        log.record("tag.changed", f"tag/{number}", "ok", detail={"new": number})
    log.close(0.8)
    assert counts["spooled"] == 1_200
    assert len(list(tmp_path.glob(PATTERN))) == 1
    store.away = False
    new_log().start()
    assert until(lambda: len(store.targets) == 1_200)
    assert store.targets == [f"tag/{number}" for number in range(1_200)]
    assert store.events[7].detail == {"new": 7}
    assert until(lambda: not list(tmp_path.glob(PATTERN)))


def test_a_write_that_ends_after_the_stop_gave_up_does_not_double_its_events(new_log, store):
    log = new_log()
    store.gate.clear()
    log.start()
    log.record("tag.changed", "tag/a", "ok")
    assert until(lambda: log._batch)
    log.record("tag.changed", "tag/b", "ok")
    log.close(0.6)
    store.gate.set()
    assert until(lambda: store.targets == ["tag/a"])
    new_log().start()
    assert until(lambda: len(store.targets) == 2)
    assert sorted(store.targets) == ["tag/a", "tag/b"]


def test_a_log_that_never_started_and_one_that_is_closed_lose_nothing_silently(new_log, tmp_path, counts):
    log = new_log()
    log.record("tag.changed", "tag/a", "ok")
    log.close()
    log.close()
    assert counts == {"spooled": 1}
    log.record("tag.changed", "tag/b", "ok")
    assert counts == {"spooled": 1, "dropped": 1} and log.dropped == 1


def test_without_a_directory_a_loss_at_the_stop_is_counted(new_log, store, counts):
    store.away = True
    log = new_log(spool_dir=None)
    log.start()
    log.record("tag.changed", "tag/a", "ok")
    log.close(0.6)
    assert counts["dropped"] == 1


def test_reading_back_waits_for_the_database_and_does_not_hold_up_a_stop(new_log, store, tmp_path, counts):
    log = new_log()
    log.record("tag.changed", "tag/a", "ok")
    log.close()
    store.away = True
    second = new_log()
    second.start()
    assert until(lambda: counts.get("failed", 0) >= 2)
    started = time.monotonic()
    second.close(3)
    assert time.monotonic() - started < 1
    assert len(list(tmp_path.glob(PATTERN))) == 1


def test_a_file_that_can_not_be_read_back_keeps_no_new_event_waiting(new_log, store, tmp_path, counts):
    (tmp_path / "audit-unreadable.jsonl").mkdir()
    log = new_log()
    log.start()
    log.record("tag.changed", "tag/a", "ok")
    assert until(lambda: store.targets == ["tag/a"]) and counts["failed"] >= 1


def test_recording_never_raises(new_log, store, counts):
    def broken() -> tuple[str, str]:
        raise RuntimeError("no request")

    log = new_log(context=broken)
    log.record("tag.changed", "tag/a", "ok")
    assert counts == {"dropped": 1}
    log = new_log()
    log.start()
    log.record("a" * 500, "nul\0", "ok", detail={"object": object(), "nul": "a\0b", 1: 2})
    log.record("large", "x", "ok", detail={"text": "y" * 20_000})
    cycle = {}
    cycle["again"] = cycle
    log.record("cycle", "x", "ok", detail=cycle)
    log.record("half a character", "\ud800", "ok", detail={"backslash": "\\u0000 and \0"})
    log.close()
    first, large, endless, half = store.events[:4]
    assert (len(first.action), first.target, first.detail["nul"], first.detail["1"]) == (200, "nul", "ab", 2)
    assert large.detail == {"left_out": "20011 octets; allowed: 8192"}
    assert endless.detail["left_out"].startswith("not JSON")
    assert (half.target, half.detail) == ("?", {"backslash": "\\u0000 and "})


def test_ticks_run_about_once_a_second_and_a_last_time_at_the_stop(new_log):
    ticks = []
    log = new_log()
    log.each_second(ticks.append)
    log.each_second(lambda last: 1 / 0)
    log.start()
    assert until(lambda: ticks, 3)
    log.close()
    assert ticks[0] is False and ticks[-1] is True
