"""Which algorithm serves a tag: its own, or while that can't, the next of its chain that can.

The way back is automatic: `retry_after_s` after a switch one caller tries the better algorithms again, the
others go on meanwhile. A call is served by one algorithm alone, and one that fails has handed out nothing,
so no switch repeats an ID as long as the algorithms' values are disjoint (app.ids.layout).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.ids.model import Algorithm, Batch, Format, Health, IdsUnavailableError, check_count

DEGRADE_ORDER = ("segment", "snowflake", "uuid7", "uuid4")
UUIDS = ("uuid7", "uuid4")
CHAINS_INT64 = {"segment": ("segment", "snowflake"), "snowflake": ("snowflake", "segment")}


def chain_for(algorithm: str, format: Format) -> tuple[str, ...]:
    """The names to try in order for a tag of this algorithm and format. Raises ValueError if they don't fit.

    A format `int64` never gets a UUID, `uuid` never a number. A plugin's values may be any: as a number it
    is replaced by nothing that could repeat one of its own, so by UUIDs where the format has room for them.
    """
    if format == "int64":
        if algorithm in UUIDS:
            raise ValueError(f"algorithm: {algorithm} is not allowed with format int64: it makes UUIDs")
        return CHAINS_INT64.get(algorithm, (algorithm,))
    if format == "uuid" and algorithm in CHAINS_INT64:
        raise ValueError(f"algorithm: {algorithm} is not allowed with format uuid: it makes numbers")
    if algorithm in DEGRADE_ORDER:
        return DEGRADE_ORDER[DEGRADE_ORDER.index(algorithm) :]
    return (algorithm, *UUIDS)


class ChainUnavailableError(IdsUnavailableError):
    """No algorithm of the chain can issue. `causes`: what each raised, by its name, in the chain's order."""

    def __init__(self, tag: str, causes: Mapping[str, Exception]) -> None:
        reasons = "; ".join(f"{name}: {cause}" for name, cause in causes.items())
        super().__init__(f"tag {tag}: {reasons}")
        self.causes = causes


@dataclass(frozen=True, slots=True)
class Switch:
    """A tag began to be served by another algorithm; `back`: by a better one again."""

    tag: str
    from_: str
    to: str
    reason: str
    back: bool


class Router:
    """A thread-safe choice among the algorithms of one tag, best first.

    monotonic: seconds. on_switch: told of every change, in order; it must neither block nor raise. Any
    exception of an algorithm counts as "can't", except for a count that is wrong everywhere.
    """

    def __init__(
        self,
        chain: Sequence[Algorithm],
        *,
        tag: str,
        monotonic: Callable[[], float],
        on_switch: Callable[[Switch], None],
        retry_after_s: float = 1.0,
    ) -> None:
        if not chain:
            raise ValueError(f"chain of tag {tag}: empty is not allowed; allowed: one algorithm or more")
        self._chain = tuple(chain)
        self._tag, self._monotonic, self._on_switch = tag, monotonic, on_switch
        self._retry_after_s = retry_after_s
        self._own, self._own_batch = chain[0].name, chain[0].batch
        self._active = 0
        self._retry_at = 0.0
        self._switches = 0
        self._lock = threading.Lock()

    @property
    def active(self) -> Algorithm:
        """The algorithm that serves now."""
        return self._chain[self._active]

    def batch(self, count: int) -> tuple[str, Batch]:
        """`count` IDs and the name of the algorithm that made them.

        Raises ChainUnavailableError, with every algorithm's reason, when none of the chain can.
        """
        if self._active:
            return self._degraded(count)
        try:
            return self._own, self._own_batch(count)
        except Exception as error:
            check_count(count)
            return self._try(range(1, len(self._chain)), count, {0: error})

    def health(self) -> Health:
        """Able when any algorithm of the chain is; else every reason."""
        reasons = []
        for algorithm in self._chain:
            health = algorithm.health()
            if health.can_issue:
                return Health(True)
            reasons.append(f"{algorithm.name}: {health.reason}")
        return Health(False, "; ".join(reasons))

    def metrics(self) -> Mapping[str, float]:
        """`degraded`: the place in the chain that serves now, 0 = the tag's own. `switches`: both ways."""
        return {"degraded": self._active, "switches": self._switches}

    def _degraded(self, count: int) -> tuple[str, Batch]:
        check_count(count)
        active = self._active
        later = [*range(active, len(self._chain)), *range(active)]
        if not self._may_retry():
            return self._try(later, count, {})
        better = [place for place in range(active) if self._chain[place].health().can_issue]
        return self._try([*better, *(place for place in later if place not in better)], count, {})

    def _may_retry(self) -> bool:
        """True for one caller each `retry_after_s`."""
        now = self._monotonic()
        if now < self._retry_at:
            return False
        with self._lock:
            if now < self._retry_at:
                return False
            self._retry_at = now + self._retry_after_s
            return True

    def _try(self, places: Sequence[int], count: int, failed: dict[int, Exception]) -> tuple[str, Batch]:
        for place in places:
            algorithm = self._chain[place]
            try:
                batch = algorithm.batch(count)
            except Exception as error:
                failed[place] = error
                continue
            self._serve_from(place, failed)
            return algorithm.name, batch
        causes = {self._chain[place].name: failed[place] for place in sorted(failed)}
        raise ChainUnavailableError(self._tag, causes)

    def _serve_from(self, place: int, failed: Mapping[int, Exception]) -> None:
        if place == self._active:
            return
        with self._lock:
            before = self._active
            back = place < before
            # A slow caller that failed over long ago must not undo what others found out since.
            if place == before or (not back and before not in failed):
                return
            self._active = place
            self._switches += 1
            if not back:
                self._retry_at = self._monotonic() + self._retry_after_s
            reason = "it can issue again" if back else str(failed[before]) or type(failed[before]).__name__
            names = self._chain[before].name, self._chain[place].name
            # Told under the lock, so that switches are told in the order in which they happened.
            self._on_switch(Switch(self._tag, *names, reason, back))
