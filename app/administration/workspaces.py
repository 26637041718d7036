"""Workspaces: made and removed by administrators of the workspace `default`, changed by their own."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.administration import keys
from app.administration.names import DEFAULT, Name, Record, Settings, exists, missing, named, tell, visible
from app.administration.paging import PageQuery, after_id, page_of
from app.auth.principal import Principal
from app.server import problems
from app.storage.models import ApiKey, BizTag, Group, Job, Snapshot, Workspace

FIRST_KEY = "first"
FIRST_SCOPES = ("issue", "read", "admin")


class WorkspaceNew(BaseModel):
    """A workspace to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    settings: Settings = {}


class WorkspacePatch(BaseModel):
    """What to change; settings are replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    settings: Settings


class WorkspaceView(BaseModel):
    """A workspace."""

    name: str
    settings: dict[str, Any]
    created_at: datetime


class WorkspaceMade(WorkspaceView):
    """A new workspace, and the key of its first administrator, which is shown this once."""

    key: keys.KeyMade


class WorkspacePage(BaseModel):
    """`next` is null on the last page."""

    items: list[WorkspaceView]
    next: str | None


def page(engine: Engine, principal: Principal, query: PageQuery) -> WorkspacePage:
    """The caller's workspace; all, for callers of `default`."""
    statement = select(Workspace).where(Workspace.id > after_id("workspaces", query))
    if principal.workspace != DEFAULT:
        statement = statement.where(Workspace.id == principal.workspace_id)
    columns = statement.with_only_columns(*_COLUMNS).order_by(Workspace.id).limit(query.limit + 1)
    with engine.connect() as connection:
        rows, after = page_of("workspaces", connection.execute(columns).all(), query, "id")
    return WorkspacePage(items=[_view(row) for row in rows], next=after)


def get(engine: Engine, principal: Principal, name: str) -> WorkspaceView:
    """One workspace that the caller may see."""
    with engine.connect() as connection:
        return _view(_find(connection, principal, name))


def make(
    engine: Engine, principal: Principal, new: WorkspaceNew, record: Record, token: str
) -> WorkspaceMade:
    """A workspace with its group `default` and the key `token` of its first administrator."""
    if principal.workspace != DEFAULT:
        raise problems.of("scope-missing", "scope: only keys of the workspace 'default' make workspaces")
    try:
        with engine.begin() as connection:
            row = connection.execute(insert(Workspace).values(**new.model_dump()).returning(*_COLUMNS)).one()
            connection.execute(insert(Group).values(workspace_id=row.id, name=DEFAULT))
            key = keys.add(connection, row.id, FIRST_KEY, FIRST_SCOPES, expires_at=None, token=token)
    except IntegrityError:
        raise exists("workspace", new.name) from None
    tell(record, principal, "workspace.created", f"workspace/{new.name}", new=new.settings)
    tell(record, principal, "key.created", f"key/{key.id}", workspace=new.name, scopes=key.scopes)
    return WorkspaceMade(**_view(row).model_dump(), key=keys.KeyMade(**key.model_dump(), token=token))


def change(
    engine: Engine, principal: Principal, name: str, patch: WorkspacePatch, record: Record
) -> WorkspaceView:
    """Replace the workspace's settings."""
    with engine.begin() as connection:
        before = _find(connection, principal, name, lock=True)
        own = {key: value for key, value in before.settings.items() if key not in visible(before.settings)}
        after = connection.execute(
            update(Workspace)
            .where(Workspace.id == before.id)
            .values(settings={**patch.settings, **own})
            .returning(*_COLUMNS)
        ).one()
    old, new = visible(before.settings), visible(after.settings)
    tell(record, principal, "workspace.changed", f"workspace/{name}", old=old, new=new)
    return _view(after)


def remove(
    engine: Engine, principal: Principal, name: str, record: Record, revoked: Callable[[bytes], None]
) -> None:
    """Remove a workspace that has no tags and no groups but `default`. Its keys end with it."""
    with engine.begin() as connection:
        row = _find(connection, principal, name, lock=True)
        if principal.workspace != DEFAULT:
            raise problems.of(
                "scope-missing", "scope: only keys of the workspace 'default' remove workspaces"
            )
        if row.name == DEFAULT:
            raise problems.of("not-empty", "workspace: 'default' can't be removed")
        for model, extra in ((BizTag, ()), (Group, (Group.name != DEFAULT,))):
            count = select(func.count()).select_from(model).where(model.workspace_id == row.id, *extra)
            if found := connection.execute(count).scalar_one():
                what = f"{found} {'tags' if model is BizTag else 'groups'}"
                raise problems.of("not-empty", f"workspace: {name!r} has {what}; remove them first")
        gone = connection.execute(
            delete(ApiKey).where(ApiKey.workspace_id == row.id).returning(ApiKey.sha256)
        ).all()
        for dependent in (Snapshot, Job, Group):
            connection.execute(delete(dependent).where(dependent.workspace_id == row.id))
        connection.execute(delete(Workspace).where(Workspace.id == row.id))
    for key in gone:
        revoked(bytes(key.sha256))
    tell(
        record, principal, "workspace.removed", f"workspace/{name}", old=visible(row.settings), keys=len(gone)
    )


_COLUMNS = (Workspace.id, Workspace.name, Workspace.settings, Workspace.created_at)


def _find(connection: Connection, principal: Principal, name: str, lock: bool = False) -> Row[Any]:
    if principal.workspace not in (name, DEFAULT):
        raise missing("workspace", name)
    statement = select(*_COLUMNS).where(Workspace.name == named("workspace", name))
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise missing("workspace", name)
    return row


def _view(row: Row[Any]) -> WorkspaceView:
    return WorkspaceView(name=row.name, settings=visible(row.settings), created_at=row.created_at)
