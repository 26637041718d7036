"""Snapshots in Postgres: made, listed, read, compared with now, and cleaned up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import Connection, Engine, and_, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from app.administration.names import Name, Record, actor, exists, missing, named, tell
from app.administration.paging import PageQuery, after_id, page_of
from app.administration.tags import rows_of, view
from app.auth.principal import Principal
from app.server import problems
from app.snapshots.content import Change, Content, GroupContent, TagContent, differences
from app.storage.models import Group, Snapshot

MOST_SNAPSHOTS = 1_000

Count = Callable[[str, str], None]
"""count(operation, outcome): `create`, `restore` or `cleanup`; `ok`, `refused` or `error`."""


class SnapshotNew(BaseModel):
    """A snapshot to make of the workspace as it is now."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class SnapshotView(BaseModel):
    """A snapshot, without what it holds."""

    name: str
    groups: int
    tags: int
    created_at: datetime
    created_by: str


class SnapshotPage(BaseModel):
    """`next` is null on the last page."""

    items: list[SnapshotView]
    next: str | None


class SnapshotWhole(SnapshotView):
    """A snapshot with what it holds."""

    content: Content


class Differences(BaseModel):
    """What restoring would change; `extra` things would stay."""

    changes: list[Change]


class Cleanup(BaseModel):
    """Which snapshots to remove: those that are not among the newest, and older, where both are given."""

    model_config = ConfigDict(extra="forbid")

    keep_newest: int | None = Field(None, ge=0, le=MOST_SNAPSHOTS)
    older_than_days: float | None = Field(None, ge=0, le=36_600)
    dry_run: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.keep_newest is None and self.older_than_days is None:
            raise ValueError("keep_newest, older_than_days or both")
        return self


class CleanedUp(BaseModel):
    """The snapshots that were removed, or would be on a dry run."""

    removed: list[str]
    dry_run: bool


def make(engine: Engine, principal: Principal, new: SnapshotNew, record: Record) -> SnapshotView:
    """Keep the workspace's groups and tags under a name."""
    try:
        # One moment for groups and tags.
        with (
            engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
            connection.begin(),
        ):
            count = select(func.count()).where(Snapshot.workspace_id == principal.workspace_id)
            if connection.execute(count).scalar_one() >= MOST_SNAPSHOTS:
                raise problems.of("too-many", f"snapshots: {MOST_SNAPSHOTS} are kept at most; clean up first")
            content = current(connection, principal.workspace_id)
            values = {
                "workspace_id": principal.workspace_id, "name": new.name, "created_by": actor(principal),
                "content": content.model_dump(mode="json"),
            }  # fmt: skip
            connection.execute(insert(Snapshot).values(**values))
            made = _view(find(connection, principal, new.name))
    except IntegrityError:
        raise exists("snapshot", new.name) from None
    tell(record, principal, "snapshot.created", f"snapshot/{new.name}", groups=made.groups, tags=made.tags)
    return made


def page(engine: Engine, principal: Principal, query: PageQuery) -> SnapshotPage:
    """The workspace's snapshots, the oldest first."""
    statement = (
        select(*_COLUMNS)
        .where(Snapshot.workspace_id == principal.workspace_id, Snapshot.id > after_id("snapshots", query))
        .order_by(Snapshot.id)
        .limit(query.limit + 1)
    )
    with engine.connect() as connection:
        rows, after = page_of("snapshots", connection.execute(statement).all(), query, "id")
    return SnapshotPage(items=[_view(row) for row in rows], next=after)


def get(engine: Engine, principal: Principal, name: str) -> SnapshotWhole:
    """One snapshot with what it holds."""
    with engine.connect() as connection:
        row = find(connection, principal, name)
    return SnapshotWhole(**_view(row).model_dump(), content=content_of(row))


def compare(engine: Engine, principal: Principal, name: str) -> Differences:
    """What restoring the snapshot would change now."""
    with (
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        aim = content_of(find(connection, principal, name))
        return Differences(changes=differences(current(connection, principal.workspace_id), aim))


def remove(engine: Engine, principal: Principal, name: str, record: Record) -> None:
    """Remove one snapshot."""
    with engine.begin() as connection:
        row = find(connection, principal, name)
        connection.execute(delete(Snapshot).where(Snapshot.id == row.id))
    tell(record, principal, "snapshot.removed", f"snapshot/{name}")


def clean_up(
    engine: Engine, principal: Principal, which: Cleanup, record: Record, now: datetime
) -> CleanedUp:
    """Remove old snapshots of the workspace, all or none."""
    mine = Snapshot.workspace_id == principal.workspace_id
    conditions = [mine]
    if which.older_than_days is not None:
        conditions.append(Snapshot.created_at < now - timedelta(days=which.older_than_days))
    if which.keep_newest is not None:
        newest = select(Snapshot.id).where(mine).order_by(Snapshot.id.desc()).limit(which.keep_newest)
        conditions.append(Snapshot.id.not_in(newest))
    with engine.begin() as connection:
        found = select(Snapshot.id, Snapshot.name).where(and_(*conditions)).order_by(Snapshot.id)
        rows = connection.execute(found.with_for_update()).all()
        if rows and not which.dry_run:
            connection.execute(delete(Snapshot).where(Snapshot.id.in_([row.id for row in rows])))
    names = [row.name for row in rows]
    if not which.dry_run:
        tell(record, principal, "snapshot.cleaned_up", "snapshots", removed=names, **which.model_dump())
    return CleanedUp(removed=names, dry_run=which.dry_run)


def current(connection: Connection, workspace_id: int, lock: bool = False) -> Content:
    """The workspace's groups and tags now, held until the transaction's end if `lock`."""
    statement = select(Group.name, Group.settings).where(Group.workspace_id == workspace_id)
    groups = connection.execute(statement.with_for_update() if lock else statement).all()
    tags = [view(row) for row in rows_of(connection, workspace_id, lock)]
    return Content(
        groups={row.name: GroupContent.model_construct(settings=row.settings) for row in groups},
        tags={tag.name: TagContent(group=tag.group, config=tag.config) for tag in tags},
    )


def content_of(row: Any) -> Content:
    """What a snapshot's row holds. Raises a problem where another version of the service wrote it."""
    try:
        return Content.model_validate(row.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise problems.of("not-restorable", f"snapshot: {row.name!r}: {where}: {first['msg']}") from None


_COLUMNS = (
    Snapshot.id, Snapshot.name, Snapshot.content, Snapshot.created_at, Snapshot.created_by,
)  # fmt: skip


def find(connection: Connection, principal: Principal, name: str) -> Any:
    """The snapshot's row."""
    statement = select(*_COLUMNS).where(
        Snapshot.workspace_id == principal.workspace_id, Snapshot.name == named("snapshot", name)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise missing("snapshot", name)
    return row


def _view(row: Any) -> SnapshotView:
    content = row.content
    return SnapshotView(
        name=row.name, groups=len(content.get("groups", ())), tags=len(content.get("tags", ())),
        created_at=row.created_at, created_by=row.created_by,
    )  # fmt: skip
