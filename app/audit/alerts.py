"""Alerts, as Alertmanager's webhook tells them (payload version 4): each becomes an audit event, once."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Engine, exists, func, insert, select

from app.administration.names import actor
from app.audit.event import bounded, short
from app.auth.principal import Principal
from app.storage.models import AuditEvent

MOST_ALERTS = 1_000
CLOCKS_APART = timedelta(hours=1)
"""An alert can't have been told before it started, by clocks that differ less than this."""

Labels = Annotated[dict[str, str], Field(max_length=100)]


class Alert(BaseModel):
    """One alert of a notification. Fields that are not named here are let through."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(None, alias="endsAt")
    generator_url: str = Field("", alias="generatorURL", max_length=4_096)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{1,64}$")


class Notification(BaseModel):
    """What Alertmanager posts."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    version: Literal["4"]
    receiver: str = Field("", max_length=200)
    alerts: list[Alert] = Field(max_length=MOST_ALERTS)


class Taken(BaseModel):
    """How many alerts became events, and how many were told before."""

    recorded: int
    repeated: int


def take(engine: Engine, principal: Principal, notification: Notification, now: datetime) -> Taken:
    """Write the new alerts at once, in one transaction: Alertmanager tells again what was not answered 200.

    The same fingerprint, status and start is the same alert, whichever process hears of it. Raises what the
    database raises.
    """
    recorded = 0
    alerts = {(a.fingerprint, a.status, a.starts_at): a for a in notification.alerts}
    with engine.begin() as connection:
        if alerts:
            # Two Alertmanagers may tell of the same alert at the same moment.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("alerts"), 0)))
        for alert in alerts.values():
            started = alert.starts_at.isoformat()
            target, action = f"alert/{alert.fingerprint}", f"alert.{alert.status}"
            told = exists().where(
                AuditEvent.at >= alert.starts_at - CLOCKS_APART,
                AuditEvent.target == target,
                AuditEvent.action == action,
                AuditEvent.detail["starts_at"].astext == started,
            )
            if connection.execute(select(told)).scalar_one():
                continue
            detail = {
                "starts_at": started,
                **bounded(
                    {
                        "labels": alert.labels, "annotations": alert.annotations,
                        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
                        "generator_url": alert.generator_url, "receiver": notification.receiver,
                    }
                ),
            }  # fmt: skip
            values = {
                "at": now, "workspace_id": principal.workspace_id, "actor": short(actor(principal)),
                "action": action, "target": target, "result": short(alert.labels.get("alertname", "")),
                "detail": detail,
            }  # fmt: skip
            connection.execute(insert(AuditEvent).values(**values))
            recorded += 1
    return Taken(recorded=recorded, repeated=len(notification.alerts) - recorded)
