"""How much of each tag's IDs a data centre has used. Ask hourly; above 0.8 is worth an alert."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from app.storage import segments
from app.storage.models import Segment, SegmentTail
from app.storage.tags import Tag, TagDirectory

ALERT_ABOVE = 0.8


@dataclass(frozen=True)
class Capacity:
    """used_ratio: 0 to 1 of what the tag may have in the data centre; 1 also when it may have nothing."""

    tag: Tag
    used_ratio: float
    left: int


def check(engine: Engine, datacenter: int, tags: list[Tag] | None = None) -> list[Capacity]:
    """Every segment tag's, tails counted as unused. tags: as in force (with overlays); else as in the rows.

    Raises what the database raises.
    """
    if tags is None:
        tags = TagDirectory(engine, lambda: 0.0).load()
    size = func.sum(SegmentTail.last - SegmentTail.first + 1)
    with engine.connect() as connection:
        marks = dict(
            connection.execute(
                select(Segment.tag_id, Segment.next_id).where(Segment.datacenter == datacenter)
            ).all()
        )
        tails = dict(
            connection.execute(
                select(SegmentTail.tag_id, size)
                .where(SegmentTail.datacenter == datacenter)
                .group_by(SegmentTail.tag_id)
            ).all()
        )
    return [
        measured(tag, datacenter, marks.get(tag.id), int(tails.get(tag.id, 0)))
        for tag in tags
        if tag.algorithm == "segment"
    ]


def measured(tag: Tag, datacenter: int, next_id: int | None, in_tails: int) -> Capacity:
    """One tag's. next_id: the segment's mark, None when it has no segment yet. Pure."""
    owned = segments.bounds(tag, datacenter)
    used = 0 if next_id is None else min(max(0, next_id - owned.start), len(owned)) - in_tails
    left = len(owned) - max(0, used)
    return Capacity(tag, 1 - left / len(owned) if owned else 1.0, left)
