"""The tables, as SQLAlchemy 2 models. Changes go through app/migrations."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Integer, SmallInteger, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATACENTER_SPAN = 1 << 60
"""IDs that each of the eight data centres owns of a segment tag's 63 bits; so they never overlap."""


class Base(DeclarativeBase):
    """All tables of the service."""


class BizTag(Base):
    """One kind of ID that callers ask for by name, and the algorithm that makes it."""

    __tablename__ = "biz_tags"
    __table_args__ = (
        CheckConstraint("algorithm IN ('segment', 'snowflake')", name="biz_tags_algorithm"),
        CheckConstraint("step BETWEEN 1 AND 100000000", name="biz_tags_step"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    algorithm: Mapped[str] = mapped_column(Text)
    step: Mapped[int] = mapped_column(Integer, server_default="10000")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Segment(Base):
    """How far a data centre has handed out a tag's IDs. `version` is the optimistic lock."""

    __tablename__ = "segments"
    __table_args__ = (
        CheckConstraint("datacenter BETWEEN 0 AND 7", name="segments_datacenter"),
        CheckConstraint("next_id >= 1", name="segments_next_id"),
    )

    tag_id: Mapped[int] = mapped_column(ForeignKey("biz_tags.id"), primary_key=True)
    datacenter: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    next_id: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
