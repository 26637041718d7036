"""/v1/keys: who may call. A key's token is in the answer that makes it, and nowhere else."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, Response, g, url_for
from sqlalchemy import Engine

from app.administration import keys
from app.administration.keys import KeyMade, KeyNew, KeyPage, KeyPatch, KeyView
from app.administration.names import Record
from app.administration.paging import PageQuery
from app.auth.keys import make
from app.server.api.answer import with_headers
from app.server.operation import operation

_GROUP = "Keys"
_PATH = {"key_id": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}}


def blueprint(
    engine: Engine,
    record: Record,
    revoked: Callable[[bytes], None],
    changed: Callable[[bytes], None],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    new_token: Callable[[], str] = make,
) -> Blueprint:
    """revoked(sha256), changed(sha256): tell all processes that a key ended, or is another now."""
    api = Blueprint("keys", __name__)

    @api.get("/v1/keys")
    @operation(
        summary="List API keys",
        scope="admin",
        query=PageQuery,
        answers={200: KeyPage},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
    )
    def page(query: PageQuery) -> KeyPage:
        return keys.page(engine, g.principal, query)

    @api.post("/v1/keys")
    @operation(
        summary="Make an API key",
        scope="admin",
        body=KeyNew,
        answers={201: KeyMade},
        problems=("bad-request", "not-found", "database-unavailable"),
        group=_GROUP,
        description="The token is shown in this answer only. Scopes: `issue` IDs, `read` configuration and "
        "audit, `admin` to change both and keys, `operate` the service. Only who has `operate` can give it.",
    )
    def new(body: KeyNew) -> Response:
        made = keys.make(engine, g.principal, body, record, token=new_token(), now=now())
        return with_headers(
            made, {"Location": url_for("keys.get", key_id=made.id), "Cache-Control": "no-store"}, 201
        )

    @api.get("/v1/keys/<int:key_id>")
    @operation(
        summary="Show an API key",
        scope="admin",
        answers={200: KeyView},
        problems=("not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def get(key_id: int) -> KeyView:
        return keys.get(engine, g.principal, key_id)

    @api.patch("/v1/keys/<int:key_id>")
    @operation(
        summary="Change an API key's name, scopes or expiry",
        scope="admin",
        body=KeyPatch,
        answers={200: KeyView},
        problems=("bad-request", "not-found", "not-changeable", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def change(key_id: int, body: KeyPatch) -> KeyView:
        return keys.change(engine, g.principal, key_id, body, record, changed=changed, now=now())

    @api.delete("/v1/keys/<int:key_id>")
    @operation(
        summary="Revoke an API key for good",
        scope="admin",
        answers={204: "Revoked; refused everywhere within 5 s"},
        problems=("not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def revoke(key_id: int) -> None:
        keys.revoke(engine, g.principal, key_id, record, revoked)

    return api
