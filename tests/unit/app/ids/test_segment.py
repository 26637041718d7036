"""The double buffer: no ID twice, none lost silently, no waiting while the next range is there."""

import threading
import time
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import flatten
from app.ids.segment import DoubleBuffer, SegmentUnavailableError


class Store:
    """Gives each range once, to any number of buffers."""

    def __init__(self, step: int = 100) -> None:
        self.step, self.next, self.loads, self.broken = step, 1, 0, False
        self._lock = threading.Lock()

    def load(self, at_least: int) -> range:
        with self._lock:
            if self.broken:
                raise ConnectionError("no database")
            self.loads += 1
            size = max(self.step, at_least)
            self.next += size
            return range(self.next - size, self.next)


class Later:
    """Background work that the test runs when it likes."""

    def __init__(self) -> None:
        self.waiting: deque = deque()

    def spawn(self, work) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


def in_thread(work) -> None:
    threading.Thread(target=work, daemon=True).start()


def at_once(work) -> None:
    work()


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
