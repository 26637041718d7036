"""Groups: tags that belong together in a workspace."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.administration.names import DEFAULT, Name, Record, Settings, exists, missing, named, tell
from app.administration.paging import PageQuery, after_id, page_of
from app.auth.principal import Principal
from app.server import problems
from app.storage.models import BizTag, Group


class GroupNew(BaseModel):
    """A group to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    settings: Settings = {}


class GroupPatch(BaseModel):
    """What to change; settings are replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    settings: Settings


class GroupView(BaseModel):
    """A group."""

    name: str
    settings: dict[str, Any]
    created_at: datetime


class GroupPage(BaseModel):
    """`next` is null on the last page."""

    items: list[GroupView]
    next: str | None


def page(engine: Engine, principal: Principal, query: PageQuery) -> GroupPage:
    """The workspace's groups in the order in which they were made."""
    statement = (
        select(*_COLUMNS)
        .where(Group.workspace_id == principal.workspace_id, Group.id > after_id("groups", query))
        .order_by(Group.id)
        .limit(query.limit + 1)
    )
    with engine.connect() as connection:
        rows, after = page_of("groups", connection.execute(statement).all(), query, "id")
    return GroupPage(items=[_view(row) for row in rows], next=after)


def get(engine: Engine, principal: Principal, name: str) -> GroupView:
    """One group."""
    with engine.connect() as connection:
        return _view(find(connection, principal, named("group", name)))


def make(engine: Engine, principal: Principal, new: GroupNew, record: Record) -> GroupView:
    """A new group."""
    values = {**new.model_dump(), "workspace_id": principal.workspace_id}
    try:
        with engine.begin() as connection:
            row = connection.execute(insert(Group).values(**values).returning(*_COLUMNS)).one()
    except IntegrityError:
        raise exists("group", new.name) from None
    tell(record, principal, "group.created", f"group/{new.name}", new=new.settings)
    return _view(row)


def change(engine: Engine, principal: Principal, name: str, patch: GroupPatch, record: Record) -> GroupView:
    """Replace the group's settings."""
    with engine.begin() as connection:
        before = find(connection, principal, named("group", name), lock=True)
        after = connection.execute(
            update(Group).where(Group.id == before.id).values(settings=patch.settings).returning(*_COLUMNS)
        ).one()
    tell(record, principal, "group.changed", f"group/{name}", old=before.settings, new=after.settings)
    return _view(after)


def remove(engine: Engine, principal: Principal, name: str, record: Record) -> None:
    """Remove a group without tags. `default` stays: it takes the tags that name no group."""
    with engine.begin() as connection:
        row = find(connection, principal, named("group", name), lock=True)
        if row.name == DEFAULT:
            raise problems.of("not-empty", "group: 'default' can't be removed")
        count = select(func.count()).select_from(BizTag).where(BizTag.group_id == row.id)
        if tags := connection.execute(count).scalar_one():
            raise problems.of("not-empty", f"group: {name!r} has {tags} tags; move or remove them first")
        connection.execute(delete(Group).where(Group.id == row.id))
    tell(record, principal, "group.removed", f"group/{name}", old=row.settings)


def find(connection: Connection, principal: Principal, name: str, lock: bool = False) -> Row[Any]:
    """The group's row, held until the transaction's end if `lock`: no tag can join it meanwhile."""
    statement = select(*_COLUMNS).where(Group.workspace_id == principal.workspace_id, Group.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise missing("group", name)
    return row


_COLUMNS = (Group.id, Group.name, Group.settings, Group.created_at)


def _view(row: Row[Any]) -> GroupView:
    return GroupView(name=row.name, settings=row.settings, created_at=row.created_at)
