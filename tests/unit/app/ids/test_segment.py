"""The double buffer: no ID twice, none lost silently, no waiting while the next range is there."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import Health, Id, flatten
from app.ids.segment import BufferClosedError, DoubleBuffer, SegmentUnavailableError
from app.ids.steps import Duration
from tests.unit.app.ids.simulated import Later, Store, at_once, in_thread


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 120)), max_size=60),
)
def test_two_buffers_over_one_store_never_overlap_and_each_ascends(step, draws):
    store = Store(step)
    buffers = [DoubleBuffer(store.load, at_once, lambda: 0.0) for _ in range(2)]
    seen: set[int] = set()
    last = [0, 0]
    for which, count in draws:
        ids = flatten(buffers[which].blocks(count))
        assert len(ids) == count
        assert ids == sorted(set(ids))
        assert ids[0] > last[which]
        assert seen.isdisjoint(ids)
        seen.update(ids)
        last[which] = ids[-1]


def test_the_next_range_is_fetched_when_a_tenth_is_used_and_not_before():
    store, later = Store(100), Later()
    buffer = DoubleBuffer(store.load, later.spawn, lambda: 0.0)
    buffer.warm()
    buffer.blocks(9)
    assert not later.waiting
    buffer.blocks(1)
    assert len(later.waiting) == 1
    buffer.blocks(1)
    assert len(later.waiting) == 1, "one preload at a time"


def test_a_warm_buffer_holds_a_range_and_one_without_a_store_says_so():
    store, later = Store(100), Later()
    buffer = DoubleBuffer(store.load, later.spawn, lambda: 0.0)
    store.broken = True
    with pytest.raises(SegmentUnavailableError, match="no database"):
        buffer.warm()
    store.broken = False
    buffer.warm()
    store.broken = True
    assert flatten(buffer.blocks(5)) == [1, 2, 3, 4, 5]
    assert not later.waiting, "fetched before, not behind the caller's back"


def test_with_the_next_range_there_the_switch_needs_no_load():
    store, later = Store(100), Later()
    buffer = DoubleBuffer(store.load, later.spawn, lambda: 0.0)
    buffer.warm()
    buffer.blocks(20)
    later.run()
    store.broken = True
    assert flatten(buffer.blocks(100)) == list(range(21, 121))


def test_a_failed_preload_costs_nobody_anything_while_ids_are_left():
    store, later = Store(100), Later()
    buffer = DoubleBuffer(store.load, later.spawn, lambda: 0.0)
    buffer.warm()
    store.broken = True
    buffer.blocks(50)
    later.run()
    assert len(flatten(buffer.blocks(50))) == 50


def test_an_empty_buffer_without_a_store_refuses_at_once_and_recovers():
    store, now = Store(10), [0.0]
    buffer = DoubleBuffer(store.load, at_once, lambda: now[0])
    assert len(buffer.blocks(10)) == 1
    store.broken = True
    buffer.blocks(10)
    with pytest.raises(SegmentUnavailableError, match="no database"):
        buffer.blocks(1)
    assert not buffer.can_issue()
    store.broken = False
    now[0] += 1
    assert buffer.can_issue()
    assert flatten(buffer.blocks(1)) == [21], "what was refused was not lost"


def test_a_request_that_cannot_be_met_takes_nothing():
    store = Store(10)
    buffer = DoubleBuffer(store.load, at_once, lambda: 0.0)
    buffer.blocks(1)
    store.broken = True
    with pytest.raises(SegmentUnavailableError):
        buffer.blocks(25)
    assert flatten(buffer.blocks(19)) == list(range(2, 21))


def test_a_store_that_never_answers_is_waited_for_only_so_long():
    buffer = DoubleBuffer(Store().load, Later().spawn, time.monotonic, wait_s=0.05)
    started = time.monotonic()
    with pytest.raises(SegmentUnavailableError, match="within"):
        buffer.blocks(1)
    assert time.monotonic() - started < 1


def test_threads_share_a_buffer_without_a_duplicate_or_a_gap():
    store = Store(50)
    buffer = DoubleBuffer(store.load, in_thread, time.monotonic)
    taken: list[int] = []
    lock = threading.Lock()

    def draw() -> None:
        for _ in range(200):
            ids = flatten(buffer.blocks(3))
            with lock:
                taken.extend(ids)

    threads = [threading.Thread(target=draw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 3_601))


def test_the_used_share_is_told():
    buffer = DoubleBuffer(Store(100).load, at_once, lambda: 0.0)
    assert buffer.used_ratio() == 1
    buffer.blocks(25)
    assert buffer.used_ratio() == pytest.approx(0.25)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("draw"), st.integers(1, 80)),
        st.tuples(st.sampled_from(["break", "mend", "background", "restart"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 40), OPERATIONS)
def test_over_outages_and_restarts_every_id_is_issued_once_or_still_to_be_had(step, operations):
    store, later, now = Store(step), Later(), [0.0]

    def start() -> DoubleBuffer:
        return DoubleBuffer(store.load, later.spawn, lambda: now[0], steps=Duration(step, 10.0), wait_s=0)

    buffer, issued = start(), []
    for operation, count in operations:
        now[0] += 1
        if operation == "draw":
            try:
                issued += flatten(buffer.blocks(count))
            except SegmentUnavailableError:
                later.run()
        elif operation == "background":
            later.run()
        elif operation == "restart":
            later.run()
            store.give_back(buffer.close())
            buffer = start()
        else:
            store.broken = operation == "break"
    later.run()
    rest = [*flatten(buffer.close()), *flatten(store.tails)]
    assert sorted([*issued, *rest]) == list(range(1, store.next))


def test_closing_gives_back_the_rest_of_both_ranges_once_and_issues_no_more():
    store = Store(100)
    buffer = DoubleBuffer(store.load, at_once, lambda: 0.0)
    buffer.blocks(30)
    assert buffer.close() == [range(31, 101), range(101, 201)]
    assert buffer.close() == []
    with pytest.raises(BufferClosedError, match="closed"):
        buffer.blocks(1)
    with pytest.raises(BufferClosedError):
        buffer.warm()
    assert buffer.health() == Health(False, "the buffer is closed")


def test_closing_waits_for_a_load_under_way_and_gives_its_range_back_too():
    store, release = Store(100), threading.Event()

    def slow_load(size: int) -> range:
        if store.loads:
            release.wait(5)
        return store.load(size)

    buffer = DoubleBuffer(slow_load, in_thread, time.monotonic)
    buffer.warm()
    buffer.blocks(50)
    threading.Timer(0.05, release.set).start()
    assert buffer.close(5) == [range(51, 101), range(101, 201)]


def test_what_arrives_after_closing_is_given_to_nobody_and_counted():
    store, later = Store(100), Later()
    buffer = DoubleBuffer(store.load, later.spawn, time.monotonic)
    buffer.warm()
    buffer.blocks(50)
    assert buffer.close(0) == [range(51, 101)]
    later.run()
    assert buffer.close() == []
    assert buffer.metrics()["wasted"] == 100


def test_a_store_that_kept_one_caller_waiting_keeps_nobody_else_until_it_answers():
    store, later = Store(10), Later()
    buffer = DoubleBuffer(store.load, later.spawn, time.monotonic, wait_s=0.02)
    with pytest.raises(SegmentUnavailableError, match="within"):
        buffer.generate()
    assert not buffer.can_issue()
    started = time.monotonic()
    with pytest.raises(SegmentUnavailableError):
        buffer.generate()
    assert time.monotonic() - started < 0.015
    later.run()
    assert buffer.can_issue()
    assert buffer.generate().value == 1


def test_a_refusal_carries_what_the_store_said():
    store = Store(10)
    store.broken = True
    buffer = DoubleBuffer(store.load, at_once, lambda: 0.0)
    with pytest.raises(SegmentUnavailableError) as refused:
        buffer.blocks(1)
    assert isinstance(refused.value.__cause__, ConnectionError)
    assert "no database" in buffer.health().reason


@pytest.mark.parametrize("answer", [range(0), range(1, 9, 2)])
def test_a_store_that_gives_no_range_of_consecutive_ids_is_refused(answer):
    buffer = DoubleBuffer(lambda size: answer, at_once, lambda: 0.0)
    with pytest.raises(SegmentUnavailableError, match="no range of consecutive IDs"):
        buffer.blocks(1)


def test_background_work_that_cannot_be_started_is_a_failed_load():
    def shut_down(work) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    buffer = DoubleBuffer(Store().load, shut_down, lambda: 0.0)
    with pytest.raises(SegmentUnavailableError, match="after shutdown"):
        buffer.blocks(1)


def test_the_step_doubles_under_load_and_returns_when_it_is_quiet():
    store, now = Store(1), [0.0]
    buffer = DoubleBuffer(store.load, at_once, lambda: now[0], steps=Duration(100, 900.0, 1_000))
    for _ in range(2_000):
        now[0] += 0.1
        buffer.blocks(50)
    assert buffer.metrics()["step"] == 1_000
    for _ in range(2_000):
        now[0] += 1_000
        buffer.blocks(50)
    assert buffer.metrics()["step"] == 100


def test_preloading_succeeds_for_more_than_99_of_100_switches_and_says_so():
    buffer = DoubleBuffer(Store(1_000).load, at_once, lambda: 0.0)
    for _ in range(20_000):
        buffer.blocks(100)
    measured = buffer.metrics()
    assert measured["preload_hits"] > 1_900
    assert measured["preload_hits"] / (measured["preload_hits"] + measured["preload_misses"]) > 0.99
    assert measured["issued"] == 2_000_000
    assert measured["switches"] == measured["loads"] - 1


def test_calls_larger_than_the_step_find_the_next_range_large_enough():
    buffer = DoubleBuffer(Store(100).load, at_once, lambda: 0.0)
    buffer.blocks(5_000)
    for _ in range(10):
        buffer.blocks(5_000)
    assert buffer.metrics()["preload_misses"] == 0


def test_a_caller_that_had_to_wait_is_a_miss():
    buffer = DoubleBuffer(Store(10).load, in_thread, time.monotonic)
    buffer.blocks(1)
    buffer.blocks(10_000)
    assert buffer.metrics()["preload_misses"] == 1


def test_ready_means_that_so_many_ids_are_buffered():
    buffer = DoubleBuffer(Store(10).load, Later().spawn, lambda: 0.0)
    assert not buffer.ready(1)
    buffer.warm()
    assert buffer.ready(10)
    assert not buffer.ready(11)


def test_a_batch_and_a_single_id_come_from_the_same_numbers():
    buffer = DoubleBuffer(Store(10).load, at_once, lambda: 0.0)
    assert buffer.generate() == Id(1)
    assert [one.value for one in buffer.batch(14).ids()] == list(range(2, 16))
    with pytest.raises(ValueError, match="count: 0"):
        buffer.batch(0)


def test_closing_lets_waiting_callers_go_at_once():
    buffer = DoubleBuffer(Store().load, Later().spawn, time.monotonic, wait_s=30)
    refused = threading.Event()

    def draw() -> None:
        with pytest.raises(BufferClosedError):
            buffer.blocks(1)
        refused.set()

    in_thread(draw)
    while not buffer._waiting:
        time.sleep(0.001)
    buffer.close(0)
    assert refused.wait(10)
