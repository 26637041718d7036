"""/v1/workspaces: made by administrators of the workspace `default`."""

from collections.abc import Callable

from flask import Blueprint, Response, g, url_for
from sqlalchemy import Engine

from app.administration import workspaces
from app.administration.names import NAME, Record
from app.administration.paging import PageQuery
from app.administration.workspaces import (
    WorkspaceMade,
    WorkspaceNew,
    WorkspacePage,
    WorkspacePatch,
    WorkspaceView,
)
from app.auth.keys import make
from app.server.api.answer import with_headers
from app.server.operation import operation

_GROUP = "Workspaces"
_PATH = {"name": {"type": "string", "pattern": NAME}}


def blueprint(
    engine: Engine, record: Record, revoked: Callable[[bytes], None], new_token: Callable[[], str] = make
) -> Blueprint:
    """revoked(sha256): tells all processes that a key ended."""
    api = Blueprint("workspaces", __name__)

    @api.get("/v1/workspaces")
    @operation(
        summary="List workspaces",
        scope="read",
        query=PageQuery,
        answers={200: WorkspacePage},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
        description="The caller's own; all, for keys of the workspace `default`.",
    )
    def page(query: PageQuery) -> WorkspacePage:
        return workspaces.page(engine, g.principal, query)

    @api.post("/v1/workspaces")
    @operation(
        summary="Make a workspace",
        scope="admin",
        body=WorkspaceNew,
        answers={201: WorkspaceMade},
        problems=("bad-request", "already-exists", "database-unavailable"),
        group=_GROUP,
        description="For keys of the workspace `default`. The answer has the key of the workspace's first "
        "administrator, which is not shown again.",
    )
    def new(body: WorkspaceNew) -> Response:
        made = workspaces.make(engine, g.principal, body, record, new_token())
        return with_headers(made, {"Location": url_for("workspaces.get", name=made.name)}, 201)

    @api.get("/v1/workspaces/<name>")
    @operation(
        summary="Show a workspace",
        scope="read",
        answers={200: WorkspaceView},
        problems=("not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def get(name: str) -> WorkspaceView:
        return workspaces.get(engine, g.principal, name)

    @api.patch("/v1/workspaces/<name>")
    @operation(
        summary="Change a workspace",
        scope="admin",
        body=WorkspacePatch,
        answers={200: WorkspaceView},
        problems=("bad-request", "not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def change(name: str, body: WorkspacePatch) -> WorkspaceView:
        return workspaces.change(engine, g.principal, name, body, record)

    @api.delete("/v1/workspaces/<name>")
    @operation(
        summary="Remove a workspace without tags",
        scope="admin",
        answers={204: "Removed, with its keys and snapshots"},
        problems=("not-found", "not-empty", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
        description="For keys of the workspace `default`.",
    )
    def remove(name: str) -> None:
        workspaces.remove(engine, g.principal, name, record, revoked)

    return api
