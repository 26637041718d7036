"""What serves now, asked from outside: the version that a rollback would go back to."""

from __future__ import annotations

from dataclasses import dataclass

from release.engine.session import ReleaseFailed
from release.targets.model import Fleet, Slot, other
from release.traffic.shares import FULL_BP, TrafficError

PROBES_PER_EDGE = 20
FIRST_SLOT: Slot = "blue"


@dataclass(frozen=True)
class Serving:
    """The slot that has all traffic, and the version that answers there; None when nobody answers."""

    slot: Slot
    version: str | None

    @property
    def idle(self) -> Slot:
        """Where a candidate goes: the other slot, or the active one while nobody is in it."""
        return self.slot if self.version is None else other(self.slot)


def what_serves(fleet: Fleet) -> Serving:
    """Ask every edge, and the service through every edge.

    Raises ReleaseFailed when the edges disagree, when traffic is split although no release is open, or
    when more than one version answers: then nobody could say what a rollback should go back to.
    """
    try:
        shares = {name: edge.green_bp for name, edge in fleet.read_shares().items()}
    except TrafficError as error:
        raise ReleaseFailed(f"preflight: {error}. Nothing was touched") from None
    said = ", ".join(f"{name} {bp / 100:g} %" for name, bp in sorted(shares.items()))
    if len(set(shares.values())) != 1:
        raise ReleaseFailed(f"preflight: edges disagree on green's share: {said}. Nothing was touched")
    green = next(iter(shares.values()))
    if green not in (0, FULL_BP):
        raise ReleaseFailed(
            f"preflight: green's share is {said} and no release is open; allowed: 0 or 100 %. "
            "Nothing was touched. Set it with edge-share on the edges first"
        )
    slot: Slot = "green" if green == FULL_BP else "blue"
    return Serving(slot, _version(fleet, slot))


def _version(fleet: Fleet, slot: Slot) -> str | None:
    probes = fleet.probe(PROBES_PER_EDGE)
    failed = [f"{edge}: {p.failed[0]}" for edge, p in probes.items() if p.failed]
    if failed:
        raise ReleaseFailed(
            f"preflight: the service can't be asked: {'; '.join(failed)}. Nothing was touched"
        )
    seen = {pair for p in probes.values() for pair in p.seen}
    nobody = sum(p.nobody_there for p in probes.values())
    if not seen:
        return None
    if nobody or len(seen) > 1 or any(where != slot for _, where in seen):
        answers = ", ".join(f"{version} from {where}" for version, where in sorted(seen))
        raise ReleaseFailed(
            f"preflight: {slot} should have all traffic, but answers came as {answers}, and {nobody} found "
            "nobody. Nothing was touched"
        )
    return seen.pop()[0]
