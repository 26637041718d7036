"""Which worker id to try next, and from which millisecond on it may be used. Pure.

A tenure is one holder's time with a worker id; its epoch is one higher than the tenure's before it. Every
tenure begins after the last millisecond that the one before may have used, so two tenures never share a
millisecond, whatever leases and clocks do.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

WORKERS = 256
DATACENTERS = 8
FUTURE_MS = 1_000
"""How far ahead of the clock a stamp may lie for the id to be taken by preference: what snowflake bridges."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a tenure used: nothing after used_until_ms. exact: the tenure is over, so the stamp is final."""

    epoch: int
    used_until_ms: int
    exact: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Stamp":
        """Raises ValueError for anything else than a stamp."""
        try:
            content = json.loads(text)
            return cls(int(content["epoch"]), int(content["used_until_ms"]), bool(content["exact"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text!r} is not a stamp: {error}") from None


def checked_datacenter(datacenter: int) -> int:
    """Raises ValueError unless it's 0 to 7."""
    if isinstance(datacenter, bool) or not isinstance(datacenter, int) or not 0 <= datacenter < DATACENTERS:
        raise ValueError(f"datacenter: {datacenter!r} is not allowed; allowed: 0 to {DATACENTERS - 1}")
    return datacenter


def candidates(
    held: Collection[int],
    stamps: Mapping[int, Stamp],
    *,
    own: int | None,
    own_used_until_ms: int,
    now_ms: int,
    workers: int = WORKERS,
) -> list[int]:
    """Free worker ids in the order in which to try them.

    The own previous id, then returned ids with the oldest stamp, then never used ones, then ids whose holder
    is gone; a stamp more than a second in the future comes after all these, the nearest first.
    """

    def order(worker: int) -> tuple[int, int, int]:
        stamp = stamps.get(worker)
        used = stamp.used_until_ms if stamp else 0
        if worker == own:
            used = own_used_until_ms
        if used > now_ms + FUTURE_MS:
            return 4, used, worker
        if worker == own:
            return 0, 0, worker
        if stamp is None:
            return 2, 0, worker
        return (1 if stamp.exact else 3), used, worker

    return sorted((worker for worker in range(workers) if worker not in held), key=order)


def start_after_ms(stamps: Collection[Stamp], reserved_epoch: int, reserved_ms: int) -> int:
    """The last millisecond that the tenures of one worker id may have used, by all that is known of them.

    stamps: from etcd and from this host. reserved_ms: what Postgres knows to be reserved by epochs up to
    reserved_epoch. A final stamp takes the place of what the same tenure had reserved ahead. Nothing else is
    left out: a tenure may have ended before its first stamp, and either store may have been restored from
    an older backup.
    """
    used = 0
    final = False
    for epoch in sorted({stamp.epoch for stamp in stamps}):
        exact = [stamp.used_until_ms for stamp in stamps if stamp.epoch == epoch and stamp.exact]
        ahead = [stamp.used_until_ms for stamp in stamps if stamp.epoch == epoch]
        used = max(used, *(exact or ahead))
        final = bool(exact) and epoch == reserved_epoch
    return used if final else max(used, reserved_ms)
