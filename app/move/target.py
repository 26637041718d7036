"""Writes records into this schema, a batch in a transaction: what is there already is not written again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL

from app.migrate import current, revisions
from app.move.records import Record
from app.storage.models import ApiKey, AuditEvent, BizTag, Group, Segment, Snapshot, Workspace, span

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
    """Writes through one connection, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, table: str, new: Sequence[Record], over: Sequence[Record]) -> None:
        """Insert `new`, and bring the rows that have the keys of `over` to their content."""
        for record in new:
            getattr(self, f"_{table}")(record.content, False)
        for record in over:
            getattr(self, f"_{table}")(record.content, True)

    def _workspaces(self, content: Any, over: bool) -> None:
        values = {"settings": content["settings"]}
        if over:
            self._run(update(Workspace).where(Workspace.name == content["name"]).values(**values))
        else:
            self._run(insert(Workspace).values(name=content["name"], **values))

    def _groups(self, content: Any, over: bool) -> None:
        key = {"workspace_id": self._workspace(content["workspace"]), "name": content["name"]}
        values = {"settings": content["settings"]}
        if over:
            self._run(update(Group).filter_by(**key).values(**values))
        else:
            self._run(insert(Group).values(**key, **values))

    def _biz_tags(self, content: Any, over: bool) -> None:
        workspace = self._workspace(content["workspace"])
        group = select(Group.id).filter_by(workspace_id=workspace, name=content["group"])
        values = {key: content[key] for key in ("algorithm", "format", "step", "config")}
        values["group_id"] = self._connection.execute(group).scalar_one()
        if over:
            changed = {"version": BizTag.version + 1, "updated_at": func.now(), **values}
            mine = (BizTag.workspace_id == workspace, BizTag.name == content["name"])
            self._run(update(BizTag).where(*mine).values(**changed))
        else:
            self._run(insert(BizTag).values(name=content["name"], **values))

    def _segments(self, content: Any, over: bool) -> None:
        """Never moves one back, whatever happens beside."""
        tag = select(BizTag.id).filter_by(
            workspace_id=self._workspace(content["workspace"]), name=content["tag"]
        )
        datacenter, next_id = content["datacenter"], content["next_id"]
        row = {"tag_id": self._connection.execute(tag).scalar_one(), "datacenter": datacenter}
        statement = insert(Segment).values(**row, next_id=next_id, last_id=span(datacenter)[-1])
        self._run(
            statement.on_conflict_do_update(
                index_elements=[Segment.tag_id, Segment.datacenter],
                set_={"next_id": next_id, "version": Segment.version + 1, "updated_at": func.now()},
                where=Segment.next_id < next_id,
            )
        )

    def _api_keys(self, content: Any, over: bool) -> None:
        values = {
            "workspace_id": self._workspace(content["workspace"]), "scopes": content["scopes"],
            **{key: content[key] for key in ("name", "prefix")},
            **_times(content, "created_at", "expires_at", "revoked_at"),
        }  # fmt: skip
        sha256 = bytes.fromhex(content["sha256"])
        if over:
            self._run(update(ApiKey).where(ApiKey.sha256 == sha256).values(**values))
        else:
            self._run(insert(ApiKey).values(sha256=sha256, **values))

    def _snapshots(self, content: Any, over: bool) -> None:
        key = {"workspace_id": self._workspace(content["workspace"]), "name": content["name"]}
        values = {
            **{name: content[name] for name in ("content", "created_by")},
            **_times(content, "created_at"),
        }
        if over:
            self._run(update(Snapshot).filter_by(**key).values(**values))
        else:
            self._run(insert(Snapshot).values(**key, **values))

    def _audit_events(self, content: Any, _over: bool) -> None:
        named = content["workspace"]
        values = {key: value for key, value in content.items() if key != "workspace"}
        values["workspace_id"] = self._workspace(named) if named is not None else None
        self._run(insert(AuditEvent).values(**values | _times(content, "at")))

    def _workspace(self, name: str) -> int:
        return self._connection.execute(select(Workspace.id).where(Workspace.name == name)).scalar_one()

    def _run(self, statement: Any) -> None:
        self._connection.execute(statement)


def _times(content: Any, *keys: str) -> dict[str, datetime | None]:
    return {key: datetime.fromisoformat(content[key]) if content[key] else None for key in keys}
