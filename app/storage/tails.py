"""The rests of ranges that a process was given and will not issue, kept for whoever asks next."""

import itertools
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine, func, insert, select

from app.storage.models import Segment, SegmentTail, span


class NotGivenOutError(ValueError):
    """A range that can't be given back: never handed out, another data centre's, or there already."""


def give_back(engine: Engine, tag_id: int, datacenter: int, ranges: Iterable[range]) -> int:
    """Keep these ranges for others; how many IDs that were. All or none; empty ranges are left out.

    Call it once, with IDs that nobody was given and nobody will be. When it fails in a way that leaves open
    whether it was done (the connection broke), don't call it again: the IDs are lost, which is harmless, but
    given back twice they could be issued twice. Raises NotGivenOutError, or what the database raises.
    """
    kept = sorted((one for one in ranges if one), key=lambda one: one.start)
    if not kept:
        return 0
    for one, following in itertools.pairwise(kept):
        if following.start < one.stop:
            raise NotGivenOutError(f"{_told(one)} and {_told(following)} overlap")
    with engine.begin() as connection:
        _check(connection, tag_id, datacenter, kept)
        rows = [
            {"tag_id": tag_id, "datacenter": datacenter, "first": one[0], "last": one[-1]} for one in kept
        ]
        connection.execute(insert(SegmentTail), rows)
    return sum(map(len, kept))


def count(engine: Engine, tag_id: int, datacenter: int) -> int:
    """IDs that wait in tails."""
    total = func.coalesce(func.sum(SegmentTail.last - SegmentTail.first + 1), 0)
    mine = (SegmentTail.tag_id == tag_id, SegmentTail.datacenter == datacenter)
    with engine.connect() as connection:
        return int(connection.execute(select(total).where(*mine)).scalar_one())


def _check(connection: Connection, tag_id: int, datacenter: int, ranges: Sequence[range]) -> None:
    # The lock on the row keeps two who give back the same IDs from not seeing each other.
    locked = (
        select(Segment.next_id)
        .where(Segment.tag_id == tag_id, Segment.datacenter == datacenter)
        .with_for_update()
    )
    next_id = connection.execute(locked).scalar_one_or_none() or 0
    owned = span(datacenter)
    for one in ranges:
        if one.step != 1 or one.start < owned.start or one.stop > min(next_id, owned.stop):
            raise NotGivenOutError(
                f"{_told(one)} of tag {tag_id}: not handed out in data centre {datacenter}; "
                f"allowed: {owned.start} to {next_id - 1}"
            )
        there = select(SegmentTail.first, SegmentTail.last).where(
            SegmentTail.tag_id == tag_id, SegmentTail.datacenter == datacenter,
            SegmentTail.first <= one[-1], SegmentTail.last >= one[0],
        )  # fmt: skip
        if connection.execute(there.limit(1)).first():
            raise NotGivenOutError(f"{_told(one)} of tag {tag_id}: given back already")


def _told(one: range) -> str:
    return f"{one[0]} to {one[-1]}"
