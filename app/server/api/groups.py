"""/v1/groups: tags that belong together."""

from flask import Blueprint, Response, g, url_for
from sqlalchemy import Engine

from app.administration import groups
from app.administration.groups import GroupNew, GroupPage, GroupPatch, GroupView
from app.administration.names import NAME, Record
from app.administration.paging import PageQuery
from app.server.api.answer import with_headers
from app.server.operation import operation

_GROUP = "Groups"
_PATH = {"name": {"type": "string", "pattern": NAME}}


def blueprint(engine: Engine, record: Record) -> Blueprint:
    """record: the audit log's."""
    api = Blueprint("groups", __name__)

    @api.get("/v1/groups")
    @operation(
        summary="List groups",
        scope="read",
        query=PageQuery,
        answers={200: GroupPage},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
    )
    def page(query: PageQuery) -> GroupPage:
        return groups.page(engine, g.principal, query)

    @api.post("/v1/groups")
    @operation(
        summary="Make a group",
        scope="admin",
        body=GroupNew,
        answers={201: GroupView},
        problems=("bad-request", "already-exists", "database-unavailable"),
        group=_GROUP,
    )
    def new(body: GroupNew) -> Response:
        made = groups.make(engine, g.principal, body, record)
        return with_headers(made, {"Location": url_for("groups.get", name=made.name)}, 201)

    @api.get("/v1/groups/<name>")
    @operation(
        summary="Show a group",
        scope="read",
        answers={200: GroupView},
        problems=("not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def get(name: str) -> GroupView:
        return groups.get(engine, g.principal, name)

    @api.patch("/v1/groups/<name>")
    @operation(
        summary="Change a group",
        scope="admin",
        body=GroupPatch,
        answers={200: GroupView},
        problems=("bad-request", "not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def change(name: str, body: GroupPatch) -> GroupView:
        return groups.change(engine, g.principal, name, body, record)

    @api.delete("/v1/groups/<name>")
    @operation(
        summary="Remove a group without tags",
        scope="admin",
        answers={204: "Removed"},
        problems=("not-found", "not-empty", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def remove(name: str) -> None:
        groups.remove(engine, g.principal, name, record)

    return api
