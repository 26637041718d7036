"""The algorithms of one process, and each tag's router over them."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.coordination.tenure import NotHeldError, Tenure
from app.ids import Algorithm, Batch, Health, Id, Kind
from app.ids.layout import Layout
from app.ids.ring import Buffered, Ring
from app.ids.router import Router, Switch, chain_for
from app.ids.segment import DoubleBuffer
from app.ids.snowflake import Snowflake
from app.ids.steps import policy
from app.ids.uuids import Uuid4, Uuid7
from app.storage.tags import Tag
from app.tag_config import TagConfig

SEQUENCE_BITS = (10, 11)
RING_IDS = 20_000


class CurrentSnowflake:
    """The snowflake of the worker id that is held now, as an algorithm."""

    name = "snowflake"
    kind: Kind = "int64"

    def __init__(self) -> None:
        self._now: Snowflake | None = None

    def become(self, snowflake: Snowflake) -> None:
        """Issue from this one: a new worker id was got. The one before can't issue any more."""
        self._now = snowflake

    def stop(self) -> int:
        """Issue nothing more; the last millisecond used, 0 without one."""
        return self._now.stop() if self._now else 0

    def generate(self) -> Id:
        """One ID. Raises IdsUnavailableError."""
        return self._held().generate()

    def batch(self, count: int) -> Batch:
        """`count` IDs. Raises IdsUnavailableError."""
        return self._held().batch(count)

    def ready(self, count: int) -> bool:
        """Whether a call now needn't wait."""
        return self._now is not None and self._now.ready(count)

    def health(self) -> Health:
        """Why nothing can be issued, if so."""
        return self._now.health() if self._now else Health(False, "no worker id was held yet")

    def metrics(self) -> dict[str, float]:
        """The current one's."""
        return dict(self._now.metrics()) if self._now else {}

    def _held(self) -> Snowflake:
        if self._now is None:
            raise NotHeldError("no worker id was held yet")
        return self._now


@dataclass(frozen=True)
class Sources:
    """What generators are made of; everything that isn't pure comes in here.

    load(tag, size) -> a range that nobody else has; give_back(tag, ranges). spawn: runs in the background.
    clock_ms: Unix milliseconds. sleep, monotonic: seconds. cpu_pressure: 0 to 1. plugin(name, config) -> an
    algorithm, or raises LookupError. switched(tag, switch): told of each router's change. stepped(tier): of
    each step back of the clock.
    """

    datacenter: int
    load: Callable[[Tag, int], range]
    give_back: Callable[[Tag, Sequence[range]], None]
    spawn: Callable[[Callable[[], None]], object]
    clock_ms: Callable[[], int]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]
    randomness: Callable[[int], bytes]
    cpu_pressure: Callable[[], float]
    plugin: Callable[[str, TagConfig], Algorithm]
    switched: Callable[[Tag, Switch], None]
    stepped: Callable[[str], None]


@dataclass
class _Made:
    """A tag's router and what it was made from."""

    tag: Tag
    router: Router
    chain: tuple[Algorithm, ...]

    @property
    def buffer(self) -> DoubleBuffer | None:
        return next((one for one in self.chain if isinstance(one, DoubleBuffer)), None)


class Generators:
    """Thread-safe. A tag whose configuration changed gets a new router at its next request."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.snowflakes = {bits: CurrentSnowflake() for bits in SEQUENCE_BITS}
        random_ones = Uuid4(randomness=sources.randomness)
        # Only version 4 may wait in a buffer: the others tell the time at which they were made.
        self.ring = Ring(random_ones, sources.spawn, capacity=RING_IDS)
        self._uuids: dict[str, Algorithm] = {
            "uuid7": Uuid7(clock_ms=sources.clock_ms, randomness=sources.randomness),
            "uuid4": Buffered(self.ring, random_ones),
        }
        self._made: dict[int, _Made] = {}
        self._lock = threading.Lock()
        self._closed = False

    def use(self, tenure: Tenure) -> None:
        """Make snowflakes under this worker id from now on."""
        for bits, current in self.snowflakes.items():
            current.become(
                Snowflake(
                    datacenter=self._sources.datacenter,
                    worker=tenure.worker,
                    clock_ms=self._sources.clock_ms,
                    sleep=self._sources.sleep,
                    layout=Layout(bits),
                    usable=tenure.usable,
                    start_after_ms=tenure.used_until_ms,
                    reserve=tenure.reserve,
                    stepped=self._sources.stepped,
                )
            )

    def router_for(self, tag: Tag) -> Router:
        """The tag's router. Raises LookupError for a plugin that isn't there."""
        made = self._made.get(tag.id)
        if made is not None and made.tag is tag:
            return made.router
        return self._current(tag).router

    def ready(self, tag: Tag, count: int) -> Router | None:
        """The tag's router when it can give so many IDs by the tag's own algorithm without waiting."""
        made = self._made.get(tag.id)
        if made is None or made.tag is not tag or made.router.active is not made.chain[0]:
            return None
        ready = getattr(made.chain[0], "ready", None)
        return made.router if ready is None or ready(count) else None

    def warm(self, tag: Tag) -> None:
        """Hold the first range of a segment tag. Raises SegmentUnavailableError."""
        made = self._current(tag)
        if tag.config.algorithm == "segment" and made.buffer is not None:
            made.buffer.warm()

    def forget(self, plugins: Collection[str]) -> None:
        """These plugins changed: make what is made from them anew."""
        with self._lock:
            for key in [key for key, one in self._made.items() if one.tag.config.algorithm in plugins]:
                del self._made[key]

    def can_issue(self) -> bool:
        """Whether any tag can be served: a service that serves a part is better than none."""
        made = list(self._made.values())
        return any(one.router.health().can_issue for one in made) if made else True

    def states(self) -> Iterator[tuple[Tag, Router, DoubleBuffer | None]]:
        """What is in use, for gauges."""
        for one in list(self._made.values()):
            yield one.tag, one.router, one.buffer

    def close(self) -> int:
        """Issue nothing more and give unused ranges back; the last millisecond that was used."""
        with self._lock:
            self._closed = True
            made = list(self._made.values())
        for one in made:
            self._retire(one)
        return max(current.stop() for current in self.snowflakes.values())

    def _current(self, tag: Tag) -> _Made:
        with self._lock:
            made = self._made.get(tag.id)
            if made is not None and _same(made.tag, tag):
                made.tag = tag
                return made
            if self._closed:
                raise NotHeldError("this process is stopping")
            fresh = self._made[tag.id] = self._make(tag)
        if made is not None:
            # In the background: whoever met the change needn't wait for the database.
            self._sources.spawn(lambda: self._retire(made))
        return fresh

    def _make(self, tag: Tag) -> _Made:
        names = chain_for(tag.config.algorithm, tag.config.format)
        if tag.config.max_id is not None and names[0] == "segment":
            names = names[:1]  # at its maximum a tag must end, not go on with larger numbers
        chain = tuple(self._algorithm(name, tag) for name in names)
        router = Router(
            chain,
            tag=tag.name,
            monotonic=self._sources.monotonic,
            on_switch=lambda switch: self._sources.switched(tag, switch),
        )
        return _Made(tag, router, chain)

    def _algorithm(self, name: str, tag: Tag) -> Algorithm:
        if name == "snowflake":
            return self.snowflakes[tag.config.sequence_bits]
        if name == "segment":
            return self._buffer(tag)
        return self._uuids.get(name) or self._sources.plugin(name, tag.config)

    def _buffer(self, tag: Tag) -> DoubleBuffer:
        config, sources = tag.config, self._sources
        steps = policy(
            config.step_policy, config.step, segment_s=config.segment_s, cpu_pressure=sources.cpu_pressure
        )
        return DoubleBuffer(
            lambda size: sources.load(tag, size), sources.spawn, sources.monotonic, steps=steps
        )

    def _retire(self, made: _Made) -> None:
        if made.buffer is not None and (rest := made.buffer.close()):
            self._sources.give_back(made.tag, rest)


def _same(one: Tag, other: Tag) -> bool:
    return one.config == other.config and (one.id, one.workspace, one.name) == (
        other.id, other.workspace, other.name,
    )  # fmt: skip


@contextmanager
def told(tell: Callable[..., None], what: str) -> Iterator[None]:
    """What fails inside is told and doesn't keep the rest from being done."""
    try:
        yield
    except Exception as error:
        tell(what, error=str(error)[:500])
