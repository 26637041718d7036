"""/v1/tags: what IDs there are, and how they are made."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, request, url_for
from sqlalchemy import Engine

from app.administration import tags
from app.administration.names import NAME, Record
from app.administration.tags import Changed, Known, TagNew, TagPage, TagPatch, TagQuery, TagView
from app.server.api.answer import with_headers
from app.server.operation import operation

_GROUP = "Tags"
_PATH = {"name": {"type": "string", "pattern": NAME}}
_IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "description": "the ETag of the version that the caller has seen; without it the newest is changed",
    "schema": {"type": "string", "pattern": '^(\\*|"[0-9]{1,19}")$'},
}
_CHANGES = "Configuration for the tag in etcd, where there is any, goes before what is set here."


def blueprint(engine: Engine, record: Record, changed: Changed, known: Known) -> Blueprint:
    """changed(workspace, group, tag): ends what is cached of a tag. known(name): an active plugin's name."""
    api = Blueprint("tags", __name__)

    @api.get("/v1/tags")
    @operation(
        summary="List tags",
        scope="read",
        query=TagQuery,
        answers={200: TagPage},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
    )
    def page(query: TagQuery) -> TagPage:
        return tags.page(engine, g.principal, query)

    @api.post("/v1/tags")
    @operation(
        summary="Make a tag",
        scope="admin",
        body=TagNew,
        answers={201: TagView},
        problems=("bad-request", "already-exists", "repeats-ids", "database-unavailable"),
        group=_GROUP,
        description=_CHANGES,
    )
    def new(body: TagNew) -> Response:
        made = tags.make(engine, g.principal, body, record, changed=changed, known=known)
        return with_headers(made, {"Location": url_for("tags.get", name=made.name), **_etag(made)}, 201)

    @api.get("/v1/tags/<name>")
    @operation(
        summary="Show a tag",
        scope="read",
        answers={200: TagView},
        problems=("unknown-tag", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
        description="The answer's ETag is the tag's version, for If-Match.",
    )
    def get(name: str) -> Response:
        found = tags.get(engine, g.principal, name)
        return with_headers(found, _etag(found))

    @api.patch("/v1/tags/<name>")
    @operation(
        summary="Change a tag",
        scope="admin",
        body=TagPatch,
        answers={200: TagView},
        problems=("bad-request", "unknown-tag", "precondition-failed", "repeats-ids", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
        parameters=(_IF_MATCH,),
        description=f"What is left out stays as it is. {_CHANGES}",
    )
    def change(name: str, body: TagPatch) -> Response:
        after = tags.change(
            engine, g.principal, name, body, record, matches=_matcher(), changed=changed, known=known
        )
        return with_headers(after, _etag(after))

    @api.delete("/v1/tags/<name>")
    @operation(
        summary="Remove a tag that has handed out no segment",
        scope="admin",
        answers={204: "Removed"},
        problems=("unknown-tag", "precondition-failed", "tag-used", "too-many", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
        parameters=(_IF_MATCH,),
    )
    def remove(name: str) -> None:
        tags.remove(engine, g.principal, name, record, matches=_matcher(), changed=changed)

    return api


def _etag(tag: TagView) -> dict[str, str]:
    return {"ETag": f'"{tag.version}"'}


def _matcher() -> Callable[[int], bool]:
    """Whether the request's If-Match allows a version (RFC 9110, 13.1.1: strong comparison)."""
    if "If-Match" not in request.headers:
        return lambda version: True
    wanted = request.if_match
    return lambda version: wanted.star_tag or wanted.is_strong(str(version))
