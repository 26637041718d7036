"""How far segments are handed out, as the database has it, for TagCache to show. For reading only."""

from collections.abc import Sequence

from sqlalchemy import Engine, select

from app.cache.tags import SegmentState
from app.storage.models import BizTag, Segment


def read(engine: Engine, datacenter: int, tag_ids: Sequence[int] | None = None) -> dict[int, SegmentState]:
    """The data centre's segments by the tag's id, all or some. Raises what the database raises."""
    query = (
        select(Segment.tag_id, Segment.next_id, Segment.last_id, BizTag.step, Segment.version)
        .join(BizTag, BizTag.id == Segment.tag_id)
        .where(Segment.datacenter == datacenter)
    )
    if tag_ids is not None:
        query = query.where(Segment.tag_id.in_(tag_ids))
    with engine.connect() as connection:
        return {row[0]: SegmentState(*row[1:]) for row in connection.execute(query)}
