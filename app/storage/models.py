"""The tables, as SQLAlchemy 2 models. Changes go through app/migrations.

Times are `timestamptz`. A tag's algorithm, format and step are columns; the rest of its TagConfig is the
JSON object `config`. See app/storage/tags.py for the way from one to the other.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATACENTER_SPAN = 1 << 53
"""IDs that each of the eight data centres owns of a segment tag, all below 2**56; so they never overlap, and
never meet a snowflake's, which are above."""
DATACENTERS = 8
WORKERS = 256
SCOPES = ("issue", "read", "admin", "operate")


def span(datacenter: int) -> range:
    """The IDs that a data centre owns of every segment tag."""
    return range(datacenter * DATACENTER_SPAN + 1, (datacenter + 1) * DATACENTER_SPAN)


def owner(value: int) -> int:
    """The data centre whose span holds a segment's ID."""
    return value // DATACENTER_SPAN


class Base(DeclarativeBase):
    """All tables of the service."""

    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own form
        dict[str, Any]: JSONB,
        datetime: DateTime(timezone=True),
        str: Text,
    }


def _identity() -> Mapped[int]:
    return mapped_column(BigInteger, Identity(), primary_key=True)


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


def _json() -> Mapped[dict[str, Any]]:
    return mapped_column(server_default="{}")


def _a_name(table: str) -> CheckConstraint:
    return CheckConstraint("char_length(name) BETWEEN 1 AND 128", name=f"{table}_name")


def _a_datacenter(table: str) -> CheckConstraint:
    return CheckConstraint("datacenter BETWEEN 0 AND 7", name=f"{table}_datacenter")


def _a_range(table: str) -> CheckConstraint:
    return CheckConstraint("first >= 1 AND last >= first", name=f"{table}_range")


class Workspace(Base):
    """One customer: keys, groups and tags belong to it, and see no other's."""

    __tablename__ = "workspaces"
    __table_args__ = (UniqueConstraint("name", name="workspaces_name_key"), _a_name("workspaces"))

    id: Mapped[int] = _identity()
    name: Mapped[str]
    settings: Mapped[dict[str, Any]] = _json()
    created_at: Mapped[datetime] = _now()


class Group(Base):
    """Tags that belong together in a workspace."""

    __tablename__ = "groups"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name", name="groups_workspace_id_name_key"),
        _a_name("groups"),
    )

    id: Mapped[int] = _identity()
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    settings: Mapped[dict[str, Any]] = _json()
    created_at: Mapped[datetime] = _now()


class BizTag(Base):
    """One kind of ID that callers ask for by name, and how it is made.

    `workspace_id` always follows `group_id`: a trigger sets it, so writers may leave it out. A tag that ever
    had a segment can't be deleted, only disabled: made again it would begin at 1 and repeat its IDs.
    """

    __tablename__ = "biz_tags"
    __table_args__ = (
        CheckConstraint("algorithm ~ '^[a-z][a-z0-9_]{0,31}$'", name="biz_tags_algorithm"),
        CheckConstraint("format IN ('any', 'int64', 'string', 'uuid')", name="biz_tags_format"),
        CheckConstraint("step BETWEEN 1 AND 100000000", name="biz_tags_step"),
        UniqueConstraint("workspace_id", "name", name="biz_tags_workspace_id_name_key"),
        Index("biz_tags_group_id_idx", "group_id"),
    )

    id: Mapped[int] = _identity()
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id"))
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), server_default=FetchedValue())
    name: Mapped[str]
    algorithm: Mapped[str]
    format: Mapped[str] = mapped_column(server_default="any")
    step: Mapped[int] = mapped_column(Integer, server_default="10000")
    config: Mapped[dict[str, Any]] = _json()
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()


class Segment(Base):
    """How far a data centre has handed out a tag's IDs. `version` is the optimistic lock."""

    __tablename__ = "segments"
    __table_args__ = (
        _a_datacenter("segments"),
        CheckConstraint("next_id >= 1", name="segments_next_id"),
        CheckConstraint("last_id < 72057594037927936", name="segments_last_id"),
    )

    tag_id: Mapped[int] = mapped_column(ForeignKey("biz_tags.id"), primary_key=True)
    datacenter: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    next_id: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated_at: Mapped[datetime] = _now()


class SegmentTail(Base):
    """IDs that a process was given, never issued, and gave back. `first` and `last` are included."""

    __tablename__ = "segment_tails"
    __table_args__ = (
        _a_datacenter("segment_tails"),
        _a_range("segment_tails"),
        Index("segment_tails_tag_id_datacenter_idx", "tag_id", "datacenter"),
    )

    id: Mapped[int] = _identity()
    tag_id: Mapped[int] = mapped_column(ForeignKey("biz_tags.id"))
    datacenter: Mapped[int] = mapped_column(SmallInteger)
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = _now()


class SegmentAllocation(Base):
    """One range handed out, to whom and when. Partitioned by month, see app/storage/partitions.py."""

    __tablename__ = "segment_allocations"
    __table_args__ = (
        _a_datacenter("segment_allocations"),
        _a_range("segment_allocations"),
        {"postgresql_partition_by": "RANGE (allocated_at)"},
    )

    tag_id: Mapped[int] = mapped_column(ForeignKey("biz_tags.id"), primary_key=True)
    datacenter: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    first: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str]
    allocated_at: Mapped[datetime] = mapped_column(server_default=func.now(), primary_key=True)


class WorkerEpoch(Base):
    """Who holds a worker id, and the millisecond up to which it may have been used.

    `holder` is empty when the id was returned. `began_ms` is the stamp that the epoch began with.
    """

    __tablename__ = "worker_epochs"
    __table_args__ = (
        _a_datacenter("worker_epochs"),
        CheckConstraint("worker BETWEEN 0 AND 255", name="worker_epochs_worker"),
        CheckConstraint("epoch >= 1", name="worker_epochs_epoch"),
        CheckConstraint("used_until_ms >= began_ms AND began_ms >= 0", name="worker_epochs_used_until_ms"),
    )

    datacenter: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    worker: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str]
    used_until_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    began_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated_at: Mapped[datetime] = _now()


class ApiKey(Base):
    """A key by the SHA-256 of its text; the text itself is nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("sha256", name="api_keys_sha256_key"),
        CheckConstraint("octet_length(sha256) = 32", name="api_keys_sha256"),
        CheckConstraint(
            "cardinality(scopes) > 0 AND scopes <@ ARRAY['issue', 'read', 'admin', 'operate']",
            name="api_keys_scopes",
        ),
        Index("api_keys_workspace_id_idx", "workspace_id"),
    )

    id: Mapped[int] = _identity()
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    prefix: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEvent(Base):
    """Who did what. No foreign key: the record outlives what it speaks of."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_events_at_idx", "at"),
        Index("audit_events_workspace_id_at_idx", "workspace_id", "at"),
    )

    id: Mapped[int] = _identity()
    at: Mapped[datetime] = _now()
    workspace_id: Mapped[int | None] = mapped_column(BigInteger)
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    result: Mapped[str]
    request_id: Mapped[str] = mapped_column(server_default="")
    trace_id: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[dict[str, Any]] = _json()


class Snapshot(Base):
    """A workspace's configuration at a moment, to go back to."""

    __tablename__ = "snapshots"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name", name="snapshots_workspace_id_name_key"),
        _a_name("snapshots"),
    )

    id: Mapped[int] = _identity()
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = _now()
    created_by: Mapped[str]


class Job(Base):
    """Work that a request asked for and a worker does later."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_state_created_at_idx", "state", "created_at"),
        Index("jobs_workspace_id_created_at_idx", "workspace_id", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    kind: Mapped[str]
    state: Mapped[str]
    request: Mapped[dict[str, Any]] = _json()
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    error: Mapped[str | None]


class SchemaHistory(Base):
    """Each revision that was applied, with its phase: so that an older version knows what passed it by."""

    __tablename__ = "schema_history"
    __table_args__ = (CheckConstraint("phase IN ('expand', 'contract')", name="schema_history_phase"),)

    revision: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str]
    applied_at: Mapped[datetime] = _now()
