"""The ring buffer: IDs made ahead, each given once, in the algorithm's order."""

import os
import threading
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ids import Batch, Health, Id
from app.ids.ring import Buffered, Ring, ranges_of
from app.ids.segment import DoubleBuffer, SegmentUnavailableError
from app.ids.uuids import Uuid4, Uuid7
from tests.unit.app.ids.simulated import Clock, Later, Store, at_once, in_thread


def numbers(store: Store | None = None, now=lambda: 0.0) -> DoubleBuffer:
    return DoubleBuffer((store or Store(5_000)).load, at_once, now)


def uuids() -> Uuid7:
    return Uuid7(clock_ms=Clock().read, randomness=os.urandom)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3_000),
    st.integers(1, 1_500),
    st.lists(st.one_of(st.integers(1, 400), st.just("background")), max_size=30),
)
def test_ids_leave_in_order_each_once_whenever_the_background_runs(capacity, block, draws):
    later, popped = Later(), []
    ring = Ring(numbers(), later.spawn, capacity=capacity, block=block)
    for draw in draws:
        if draw == "background":
            later.run()
        else:
            popped += [ring.pop() for _ in range(draw)]
        assert len(ring) <= capacity + block + 1_000
    assert popped == list(range(1, len(popped) + 1))


def test_uuids_are_buffered_too():
    ring = Ring(uuids(), at_once, capacity=3_000)
    popped = [ring.pop() for _ in range(10_000)]
    assert all(isinstance(one, bytes) and len(one) == 16 for one in popped)
    assert all(a < b for a, b in pairwise(popped))
    assert ring.generate().kind == "uuid"
    assert len(set(ring.batch(100).ids())) == 100


def test_a_ring_is_itself_an_algorithm():
    ring = Ring(numbers(), at_once, capacity=100)
    assert (ring.name, ring.kind) == ("segment", "int64")
    assert ring.generate() == Id(1)
    assert ring.batch(3) == Batch("int64", (range(2, 5),))
    with pytest.raises(ValueError, match="count: 0"):
        ring.batch(0)
    with pytest.raises(ValueError, match="count: 0"):
        Ring(numbers(), at_once, capacity=0)


def test_what_is_buffered_outlives_the_algorithm_and_then_its_refusal_is_met():
    store, now = Store(1_000), [0.0]
    source = numbers(store, lambda: now[0])
    ring = Ring(source, at_once, capacity=1_000, block=1_000)
    ring.fill()
    source.close()
    assert ring.health() == Health(True)
    assert [ring.pop() for _ in range(1_000)] == list(range(1, 1_001))
    assert ring.health() == Health(False, "the buffer is closed")
    with pytest.raises(SegmentUnavailableError):
        ring.pop()
    assert ring.metrics()["fill_failures"] >= 1


def test_background_work_that_cannot_be_started_costs_hits_but_no_ids():
    def shut_down(work) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    ring = Ring(numbers(), shut_down, capacity=100, block=10)
    assert [ring.pop() for _ in range(50)] == list(range(1, 51))
    measured = ring.metrics()
    assert measured["fill_failures"] == measured["fills"] == 5
    assert measured["pops"] - measured["hits"] == 5


def test_a_ring_is_filled_again_below_its_mark_and_hits_are_counted():
    later = Later()
    ring = Ring(numbers(), later.spawn, capacity=10_000, fill_below=0.5, block=1_000)
    ring.fill()
    for _ in range(4_000):
        ring.pop()
    assert not later.waiting
    for _ in range(2_000):
        ring.pop()
    assert len(later.waiting) == 1
    later.run()
    assert ring.ready(10_000)
    measured = ring.metrics()
    assert (measured["pops"], measured["hits"], measured["fills"]) == (6_000, 6_000, 1)
    for _ in range(len(ring) + 1):
        ring.pop()
    assert ring.metrics()["pops"] - ring.metrics()["hits"] == 1


def test_threads_share_a_ring_without_a_duplicate_or_a_gap_each_in_order():
    ring = Ring(numbers(), in_thread, capacity=4_000, block=500)
    taken: list[list[int]] = []

    def draw() -> None:
        taken.append([ring.pop() for _ in range(20_000)])

    threads = [threading.Thread(target=draw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [value for one in taken for value in one]
    assert all(one == sorted(one) for one in taken)
    deadline = time.monotonic() + 5
    while ring._filling and time.monotonic() < deadline:
        time.sleep(0.001)
    everything += [ring.pop() for _ in range(len(ring))]
    assert len(set(everything)) == len(everything)
    assert {*range(1, max(everything) + 1)} == {*everything}


def test_a_million_buffered_numbers_take_less_than_20_mb():
    ring = Ring(numbers(Store(1_000_000)), lambda work: None, capacity=1_000_000)
    tracemalloc.start()
    ring.fill()
    ring.pop()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ring) == 999_999
    assert taken < 20e6


@given(st.lists(st.integers(-5, 20), min_size=1))
def test_numbers_become_the_fewest_ranges_that_hold_them_in_order(values):
    ranges = ranges_of(np.array(values, dtype=np.int64))
    assert [value for one in ranges for value in one] == values
    assert all(before.stop != after.start for before, after in pairwise(ranges))


def test_single_ids_come_from_the_ring_and_large_batches_do_not_empty_it():
    source = Uuid4(randomness=os.urandom)
    ring = Ring(source, lambda work: work(), capacity=1_000)
    buffered = Buffered(ring, source)
    first = buffered.batch(1)
    held = len(ring)
    assert len(first) == 1 and held > 0
    assert len(buffered.batch(500)) == 500
    assert len(ring) == held, "the batch came from the algorithm itself"
    assert buffered.generate().kind == "uuid"
    assert buffered.health().can_issue and buffered.metrics()["pops"] == 2
