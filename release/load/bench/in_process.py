"""What the ID algorithms cost by themselves: no network, no database, one process, one thread.

Costs of single steps are the least of several repeats, that is what the code takes when nobody disturbs it;
throughputs are means over the time given.
"""

import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator

from app.ids import Algorithm
from app.ids.encoding import to_json_strings, to_octets
from app.ids.ring import Ring
from app.ids.router import Router
from app.ids.segment import DoubleBuffer
from app.ids.snowflake import Snowflake
from app.ids.steps import Fixed
from app.ids.uuids import Uuid7

MILLION = 1_000_000
STEP = 100_000_000
FIRST = 10**15
REPEATS = 100
"""Many short ones: on a busy machine some of them run undisturbed."""


def costs() -> dict[str, float]:
    """`pop_ns`: one ID from a full ring buffer, with its share of the blocks' unpacking. `switch_ns`: what a
    call costs more when it goes over to the preloaded range. `router_ns`: what a call costs more by way of a
    healthy tag's router. `million_mb`: memory of a million buffered numbers, 10**6 octets."""
    return {
        "pop_ns": pop_ns(),
        "switch_ns": switch_ns(),
        "router_ns": router_ns(),
        "million_mb": million_mb(),
    }


def throughputs(seconds: float = 1.0) -> dict[str, float]:
    """IDs a second: one at a time and in batches, made, and made and encoded; `seconds` for each."""
    segment, snowflake, uuid7 = _segment(), _snowflake(), _uuid7()
    return {
        "segment_1": _ids_per_s(segment, 1, seconds),
        "segment_5000": _ids_per_s(segment, 5_000, seconds),
        "segment_json_1000": _ids_per_s(segment, 1_000, seconds, to_json_strings),
        "segment_octets_5000": _ids_per_s(segment, 5_000, seconds, to_octets),
        "snowflake_1": _ids_per_s(snowflake, 1, seconds),
        "snowflake_5000": _ids_per_s(snowflake, 5_000, seconds),
        "snowflake_octets_5000": _ids_per_s(snowflake, 5_000, seconds, to_octets),
        "snowflake_ceiling": snowflake.layout.per_ms * 1_000.0,
        "uuid7_1": _ids_per_s(uuid7, 1, seconds),
        "uuid7_5000": _ids_per_s(uuid7, 5_000, seconds),
        "uuid7_json_1000": _ids_per_s(uuid7, 1_000, seconds, to_json_strings),
    }


def pop_ns(pops: int = 5_000) -> float:
    """Nanoseconds."""
    ring = Ring(_segment(), lambda work: None, capacity=REPEATS * pops)
    ring.fill()
    pop = ring.pop

    def once() -> float:
        started = time.perf_counter_ns()
        for _ in range(pops):
            pop()
        return (time.perf_counter_ns() - started) / pops

    return min(once() for _ in range(REPEATS))


def switch_ns(switches: int = 50, step: int = 20) -> float:
    """Nanoseconds: the median call that takes a range's last ID less the median call in the middle of one."""
    buffer = _segment(step)
    buffer.blocks(step // 2)

    def call() -> int:
        started = time.perf_counter_ns()
        buffer.blocks(1)
        return time.perf_counter_ns() - started

    def once() -> tuple[float, float]:
        ordinary, crossing = [], []
        for _ in range(switches):
            before = buffer.metrics()["switches"]
            cost = call()
            while buffer.metrics()["switches"] == before:
                ordinary.append(cost)
                cost = call()
            crossing.append(cost)
        return statistics.median(crossing), statistics.median(ordinary)

    return _least_difference([once() for _ in range(REPEATS)])


def router_ns(calls: int = 1_000) -> float:
    """Nanoseconds."""
    direct = _segment()
    behind = _segment()
    router = Router([behind], tag="bench", monotonic=time.monotonic, on_switch=lambda switch: None)

    def each(call: Callable[[int], object]) -> float:
        started = time.perf_counter_ns()
        for _ in range(calls):
            call(10)
        return (time.perf_counter_ns() - started) / calls

    return _least_difference([(each(router.batch), each(direct.batch)) for _ in range(REPEATS)])


def million_mb() -> float:
    """Megabytes as the interpreter and numpy count what they allocate."""
    source = _segment()
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    ring = Ring(source, lambda work: None, capacity=MILLION)
    ring.fill()
    ring.pop()
    taken = tracemalloc.get_traced_memory()[0] - before
    if not already:
        tracemalloc.stop()
    return taken / 1e6


def _least_difference(pairs: list[tuple[float, float]]) -> float:
    """The least of the first less the least of the second, 0 when that is lost in the noise."""
    return max(0.0, min(pair[0] for pair in pairs) - min(pair[1] for pair in pairs))


def _ids_per_s(
    source: Algorithm, count: int, seconds: float, encode: Callable[..., object] = lambda batch: None
) -> float:
    made = 0
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        # The clock is read seldom, or it would be most of what single IDs cost.
        for _ in range(max(1, 1_000 // count)):
            encode(source.batch(count))
        made += count * max(1, 1_000 // count)
    return made / passed


def _ranges(step: int) -> Iterator[range]:
    first = FIRST
    while True:
        yield range(first, first + step)
        first += step


def _segment(step: int = STEP) -> DoubleBuffer:
    """Over a store that costs nothing and answers at once."""
    ranges = _ranges(step)
    buffer = DoubleBuffer(lambda size: next(ranges), lambda work: work(), time.monotonic, steps=Fixed(step))
    buffer.warm()
    return buffer


def _snowflake() -> Snowflake:
    return Snowflake(datacenter=0, worker=1, clock_ms=_clock_ms, sleep=time.sleep)


def _uuid7() -> Uuid7:
    return Uuid7(clock_ms=_clock_ms, randomness=os.urandom)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
