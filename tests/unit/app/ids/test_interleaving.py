"""Hand-over, lock and preload in every order of small threads; and that the explorer finds planted bugs."""

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, pairwise

import pytest

from app.ids import Batch, Health, Id, IdsUnavailableError, flatten, ring, router, segment, snowflake
from app.ids.layout import EARLIEST_MS, Layout
from tests.unit.app.ids.interleaving import Deadlock, NoLock, Scheduler, explore


class Store:
    """Ranges under an optimistic lock, as the database does it: read, then write if nobody else wrote."""

    def __init__(self, scheduler: Scheduler, step: int, *, compares: bool = True, failures: int = 0) -> None:
        self._scheduler, self.step, self.failures = scheduler, step, failures
        self.next, self.version, self._compares = 1, 0, compares

    def load(self, size: int) -> range:
        size = max(size, self.step)
        while True:
            first, version = self.next, self.version
            self._scheduler.pause()
            if self.failures:
                self.failures -= 1
                raise ConnectionError("no database")
            if not self._compares or self.version == version:
                self.next, self.version = first + size, version + 1
                return range(first, first + size)


def buffer_over(store: Store, scheduler: Scheduler) -> segment.DoubleBuffer:
    return segment.DoubleBuffer(store.load, scheduler.spawn, scheduler.monotonic)


def drawing(source: segment.DoubleBuffer, counts: list[int], taken: list[int]) -> Callable[[], None]:
    def draw() -> None:
        for count in counts:
            ids = flatten(source.blocks(count))
            assert not taken or ids[0] > taken[-1]
            taken.extend(ids)

    return draw


def hand_over(scheduler: Scheduler, *draws: list[int]) -> None:
    store = Store(scheduler, 2)
    buffer = buffer_over(store, scheduler)
    one, other = [], []
    scheduler.run(drawing(buffer, draws[0], one), drawing(buffer, draws[1], other))
    rest = flatten(buffer.close())
    assert sorted([*one, *other, *rest]) == list(range(1, store.next)), "each once, none lost"


def test_two_callers_and_the_preload_share_a_buffer_in_every_order():
    assert explore(lambda scheduler: hand_over(scheduler, [1, 2], [2]), segment) > 1_000


def test_two_callers_and_the_preload_share_a_buffer_when_interrupted_at_any_line():
    assert explore(lambda scheduler: hand_over(scheduler, [1], [2]), segment, lines=True, preemptions=1) > 300


def test_without_its_lock_the_buffer_is_caught(monkeypatch):
    def scenario(scheduler: Scheduler) -> None:
        store = Store(scheduler, 10)
        buffer = buffer_over(store, scheduler)
        buffer._lock = NoLock()
        buffer.warm()
        one, other = [], []
        scheduler.run(drawing(buffer, [1], one), drawing(buffer, [1], other))
        assert set(one).isdisjoint(other)

    with pytest.raises(AssertionError):
        explore(scenario, segment, lines=True, preemptions=1)


def closing(scheduler: Scheduler, *draws: int) -> None:
    store = Store(scheduler, 3)
    buffer = buffer_over(store, scheduler)
    taken, given_back = [], []

    def draw() -> None:
        with suppress(segment.BufferClosedError):
            drawing(buffer, [*draws], taken)()

    scheduler.run(draw, lambda: given_back.extend(flatten(buffer.close())))
    everything = [*taken, *given_back]
    assert len(everything) == len(set(everything))
    assert len(everything) + buffer.metrics()["wasted"] == store.next - 1
    with pytest.raises(segment.BufferClosedError):
        buffer.blocks(1)


def test_what_a_closing_buffer_gives_back_was_given_to_nobody_else_and_all_is_accounted_for():
    assert explore(lambda scheduler: closing(scheduler, 1, 2, 2), segment) > 500
    assert explore(lambda scheduler: closing(scheduler, 3), segment, lines=True, preemptions=1) > 200


def test_a_failing_store_leaves_no_caller_waiting_and_loses_nothing():
    def scenario(scheduler: Scheduler) -> None:
        store = Store(scheduler, 2, failures=1)
        buffer = buffer_over(store, scheduler)
        taken: list[list[int]] = [[], []]
        refused = []

        def caller(mine: list[int]) -> Callable[[], None]:
            def draw() -> None:
                try:
                    drawing(buffer, [1, 1], mine)()
                except segment.SegmentUnavailableError as error:
                    refused.append(error)

            return draw

        scheduler.run(*map(caller, taken))
        assert refused
        everything = [*chain(*taken), *flatten(buffer.close())]
        assert sorted(everything) == list(range(1, store.next))

    assert explore(scenario, segment, preemptions=3) > 50


@pytest.mark.parametrize("compares", [True, False])
def test_two_processes_never_get_one_range_because_the_store_compares(compares):
    def scenario(scheduler: Scheduler) -> None:
        store = Store(scheduler, 3, compares=compares)
        taken: list[list[int]] = [[], []]
        buffers = [buffer_over(store, scheduler) for _ in taken]
        scheduler.run(*(drawing(buffer, [1], mine) for buffer, mine in zip(buffers, taken, strict=True)))
        assert set(taken[0]).isdisjoint(taken[1])

    if compares:
        assert explore(scenario, segment, preemptions=2) > 500
    else:
        with pytest.raises(AssertionError):
            explore(scenario, segment, preemptions=2)


def test_a_stopped_worker_id_has_issued_nothing_after_the_time_it_told():
    def scenario(scheduler: Scheduler) -> None:
        now_ms = [EARLIEST_MS]

        def clock() -> int:
            now_ms[0] += 1
            return now_ms[0]

        generator = snowflake.Snowflake(datacenter=0, worker=1, clock_ms=clock, sleep=lambda s: None)
        taken, stopped_at = [], []

        def draw() -> None:
            with suppress(IdsUnavailableError):
                taken.extend(flatten(generator.blocks(1)))
                taken.extend(flatten(generator.blocks(1)))

        scheduler.run(draw, lambda: stopped_at.append(generator.stop()))
        assert all(Layout().unpack(value).unix_ms <= stopped_at[0] for value in taken)

    assert explore(scenario, snowflake, lines=True, preemptions=1) > 50


class Numbers:
    """An algorithm that counts, able while `able`."""

    kind = "int64"

    def __init__(self, name: str, first: int, able: Callable[[], bool] = lambda: True) -> None:
        self.name, self.next, self.able = name, first, able

    def batch(self, count: int) -> Batch:
        if not self.able():
            raise IdsUnavailableError(f"{self.name} is broken")
        first, self.next = self.next, self.next + count
        return Batch("int64", (range(first, first + count),))

    def generate(self) -> Id:
        return next(self.batch(1).ids())

    def health(self) -> Health:
        return Health(self.able())

    def metrics(self) -> dict[str, float]:
        return {}


def test_a_ring_gives_each_id_once_in_order_while_it_is_filled_and_emptied():
    def scenario(scheduler: Scheduler, *pops: int) -> None:
        source = Numbers("numbers", 1)
        buffer = ring.Ring(source, scheduler.spawn, capacity=4, block=2)
        one, other = [], []

        def popping(mine: list[int], count: int) -> Callable[[], None]:
            return lambda: mine.extend(buffer.pop() for _ in range(count))

        scheduler.run(popping(one, pops[0]), popping(other, pops[1]))
        assert one == sorted(one)
        assert other == sorted(other)
        rest = [buffer.pop() for _ in range(len(buffer))]
        assert rest == sorted(rest)
        assert sorted([*one, *other, *rest]) == list(range(1, len(rest) + sum(pops) + 1)), (
            "each once, none lost"
        )

    assert explore(lambda scheduler: scenario(scheduler, 3, 2), ring, preemptions=2) > 500
    assert explore(lambda scheduler: scenario(scheduler, 2, 1), ring, lines=True, preemptions=1) > 300


def test_switches_are_told_in_the_order_in_which_they_happen():
    def scenario(scheduler: Scheduler) -> None:
        broken = [True]
        told: list[router.Switch] = []
        own = Numbers("segment", 1, lambda: not broken[0])
        chosen = router.Router(
            [own, Numbers("snowflake", 1 << 57), Numbers("uuid7", 1 << 60)],
            tag="orders",
            monotonic=scheduler.monotonic,
            on_switch=told.append,
            retry_after_s=0.0,
        )

        def mend() -> None:
            broken[0] = False

        taken: list[str] = []
        scheduler.run(*[lambda: taken.append(chosen.batch(1)[0])] * 2, mend)
        assert len(taken) == 2
        ways = [(switch.from_, switch.to) for switch in told]
        assert all(before[1] == after[0] for before, after in pairwise(ways)), ways
        assert (ways[-1][1] if ways else "segment") == chosen.active.name
        assert {"uuid7"}.isdisjoint(taken)

    assert explore(scenario, router, lines=True, preemptions=1) > 100


def test_the_explorer_finds_a_lost_update_that_needs_one_switch():
    def scenario(scheduler: Scheduler) -> None:
        total = [0]

        def add() -> None:
            before = total[0]
            scheduler.pause()
            total[0] = before + 1

        scheduler.run(add, add)
        assert total == [2]

    with pytest.raises(AssertionError):
        explore(scenario)


def test_the_explorer_finds_two_locks_taken_in_opposite_order():
    def scenario(scheduler: Scheduler) -> None:
        left, right = scheduler.Lock(), scheduler.Lock()

        def nested(outer, inner) -> Callable[[], None]:
            def work() -> None:
                with outer, inner:
                    pass

            return work

        scheduler.run(nested(left, right), nested(right, left))

    with pytest.raises(Deadlock):
        explore(scenario)


def test_the_explorer_visits_every_order_once():
    seen = []

    def scenario(scheduler: Scheduler) -> None:
        order = []

        def step(name: str) -> Callable[[], None]:
            def work() -> None:
                order.append(name)
                scheduler.pause()
                order.append(name)

            return work

        scheduler.run(step("a"), step("b"))
        seen.append("".join(order))

    explore(scenario)
    assert sorted(set(seen)) == ["aabb", "abab", "abba", "baab", "baba", "bbaa"]
    assert threading.active_count() < 50
