"""Writes records into this schema, a batch in a transaction: what is there already is not written again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL

from app.migrate import current, revisions
from app.move.records import Record
from app.storage.models import ApiKey, AuditEvent, BizTag, Group, Segment, Snapshot, Workspace, span

Content = Mapping[str, Any]
MODELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "workspaces": (Workspace, ("name",)),
    "groups": (Group, ("workspace_id", "name")),
    "biz_tags": (BizTag, ("workspace_id", "name")),
    "api_keys": (ApiKey, ("sha256",)),
    "snapshots": (Snapshot, ("workspace_id", "name")),
    "audit_events": (AuditEvent, ()),
}
TIMES = {"at", "created_at", "expires_at", "revoked_at"}
LOCK_KEY = 7_586_114_221  # any number, the same for all versions


class BadTargetError(ValueError):
    """The target isn't a Postgres of this version's schema, or another move is writing into it."""


def open_target(address: URL) -> Engine:
    """An engine for writing. Raises BadTargetError for anything but Postgres."""
    if address.drivername == "sqlite":
        raise BadTargetError("--to: a SQLite database is not allowed; allowed: postgresql://...")
    return create_engine(address, connect_args={"connect_timeout": 5, "application_name": "plumbline-move"})


def claim(connection: Connection) -> None:
    """Be the only move into it while the connection lives. Raises BadTargetError."""
    found = current(connection)
    if found != revisions.head():
        raise BadTargetError(
            f"--to: its schema is at {found or 'nothing'}, this version's is {revisions.head()}; "
            "run `python -m app.migrate upgrade --contract` on it first"
        )
    if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}).scalar():
        raise BadTargetError("--to: another move is writing into it; wait for its end")
    connection.commit()


class Writer:
    """Writes through one connection, inside one transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids: dict[tuple[str, ...], int] = {}

    def write(self, table: str, new: Sequence[Record], over: Sequence[Record]) -> None:
        """Insert `new`, and bring the rows that have the keys of `over` to their content."""
        if table == "segments":
            self._segments([*new, *over])
            return
        model, keys = MODELS[table]
        if new:
            self._connection.execute(insert(model), [self._row(table, record.content) for record in new])
        for record in over:
            row = self._row(table, record.content)
            mine = [getattr(model, key) == row.pop(key) for key in keys]
            if model is BizTag:
                row |= {"version": BizTag.version + 1, "updated_at": func.now()}
            self._connection.execute(update(model).where(*mine).values(**row))

    def _segments(self, records: Sequence[Record]) -> None:
        """Never moves one back, whatever happens beside."""
        if not records:
            return
        statement = insert(Segment)
        following = statement.excluded.next_id
        forward = statement.on_conflict_do_update(
            index_elements=[Segment.tag_id, Segment.datacenter],
            set_={"next_id": following, "version": Segment.version + 1, "updated_at": func.now()},
            where=Segment.next_id < following,
        )
        self._connection.execute(forward, [self._segment(record.content) for record in records])

    def _segment(self, content: Content) -> dict[str, Any]:
        tag = self._id(BizTag, content["tag"], self._workspace(content["workspace"]))
        last = span(content["datacenter"])[-1]
        return {"tag_id": tag, "last_id": last, **{key: content[key] for key in ("datacenter", "next_id")}}

    def _row(self, table: str, content: Content) -> dict[str, Any]:
        """A record's values for its table: names become ids, texts become times and octets."""
        row = {key: value for key, value in content.items() if key not in ("workspace", "group", "sha256")}
        for key in TIMES & set(row):
            row[key] = datetime.fromisoformat(row[key]) if row[key] else None
        if "sha256" in content:
            row["sha256"] = bytes.fromhex(content["sha256"])
        if "workspace" in content:
            named = content["workspace"]  # an audit event may have none
            row["workspace_id"] = self._workspace(named) if named is not None else None
        if "group" in content:
            row["group_id"] = self._id(Group, content["group"], row["workspace_id"])
        return row

    def _workspace(self, name: str) -> int:
        return self._id(Workspace, name)

    def _id(self, model: type[Workspace | Group | BizTag], name: str, workspace: int | None = None) -> int:
        key = (model.__tablename__, name, str(workspace))
        if key not in self._ids:
            query = select(model.id).where(model.name == name)
            if workspace is not None and model is not Workspace:
                query = query.where(model.workspace_id == workspace)  # type: ignore[union-attr]
            self._ids[key] = self._connection.execute(query).scalar_one()
        return self._ids[key]
