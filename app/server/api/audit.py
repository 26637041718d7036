"""GET /v1/audit: what happened, newest first."""

from flask import Blueprint, g
from sqlalchemy import Engine

from app.audit import store
from app.audit.store import AuditQuery, EventPage
from app.server.operation import operation


def blueprint(engine: Engine) -> Blueprint:
    """Events appear here about a second after what they tell of."""
    api = Blueprint("audit", __name__)

    @api.get("/v1/audit")
    @operation(
        summary="List audit events",
        scope="read",
        query=AuditQuery,
        answers={200: EventPage},
        problems=("bad-request", "database-unavailable"),
        group="Audit",
        description="The workspace's; keys of the workspace `default` also see those of the service itself.",
    )
    def page(query: AuditQuery) -> EventPage:
        return store.page(engine, g.principal, query)

    return api
