"""POST /v1/alerts: the webhook for Alertmanager."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, g
from sqlalchemy import Engine

from app.audit import alerts
from app.audit.alerts import Notification, Taken
from app.server.operation import operation


def blueprint(
    engine: Engine,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    count: Callable[[str], None] = lambda status: None,
) -> Blueprint:
    """Alerts are written before the answer, since Alertmanager tells them again after an error.

    count(status): told of each alert that was taken.
    """
    api = Blueprint("alerts", __name__)

    @api.post("/v1/alerts")
    @operation(
        summary="Take alerts from Alertmanager",
        scope="operate",
        body=Notification,
        answers={200: Taken},
        problems=("bad-request", "database-unavailable"),
        group="Audit",
        description="Alertmanager's webhook payload, version 4. Each alert becomes an audit event, once for "
        "its fingerprint, status and start.",
    )
    def take(body: Notification) -> Taken:
        taken = alerts.take(engine, g.principal, body, now())
        for alert in body.alerts:
            count(alert.status)
        return taken

    return api
