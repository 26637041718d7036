"""Audit events in Postgres: written in batches, read in pages, newest first."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import Engine, insert, or_, select, tuple_

from app.administration.names import DEFAULT
from app.administration.paging import PageQuery, page_of, position_of
from app.audit.event import Event
from app.auth.principal import Principal
from app.server import problems
from app.storage.models import ApiKey, AuditEvent

_MARKS = (AuditEvent.at, AuditEvent.action, AuditEvent.target, AuditEvent.actor, AuditEvent.result)


def write(engine: Engine, events: Sequence[Event]) -> None:
    """Insert all, or none and raise what the database raises."""
    if events:
        with engine.begin() as connection:
            connection.execute(insert(AuditEvent), [_row(event) for event in events])


def write_once(engine: Engine, events: Sequence[Event]) -> None:
    """Insert those that are not there: a stop may have cut a write off after its commit.

    A time to the microsecond, with what happened to what, names an event of a process.
    """
    for start in range(0, len(events), 1_000):
        some = events[start : start + 1_000]
        with engine.begin() as connection:
            there = select(*_MARKS).where(AuditEvent.at.in_([event.at for event in some]))
            known = {tuple(row) for row in connection.execute(there)}
            marks = [(event.at, event.action, event.target, event.actor, event.result) for event in some]
            new = [_row(event) for event, mark in zip(some, marks, strict=True) if mark not in known]
            if new:
                connection.execute(insert(AuditEvent), new)


def owners(engine: Engine, key_ids: Collection[int]) -> Mapping[int, tuple[int, str]]:
    """(workspace id, name) of each key that exists."""
    statement = select(ApiKey.id, ApiKey.workspace_id, ApiKey.name).where(ApiKey.id.in_(key_ids))
    with engine.connect() as connection:
        return {row.id: (row.workspace_id, row.name) for row in connection.execute(statement)}


class AuditQuery(PageQuery):
    """Which events: all conditions together. `since` counts itself in, `until` does not."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    action: str | None = Field(
        None, max_length=200, description="as a whole, or its beginning with a final *"
    )
    target: str | None = Field(
        None, max_length=200, description="as a whole, or its beginning with a final *"
    )
    actor: str | None = Field(None, max_length=200, description="as a whole, or its beginning with a final *")
    result: str | None = Field(None, max_length=200)


class EventView(BaseModel):
    """An event. `scope`: `service` for what concerns no workspace; the workspace `default` sees those."""

    id: int
    at: datetime
    scope: Literal["workspace", "service"]
    actor: str
    action: str
    target: str
    result: str
    request_id: str
    trace_id: str
    detail: dict[str, Any]


class EventPage(BaseModel):
    """Newest first; `next` is null on the last page."""

    items: list[EventView]
    next: str | None


def page(engine: Engine, principal: Principal, query: AuditQuery) -> EventPage:
    """The events that the caller may see."""
    mine = AuditEvent.workspace_id == principal.workspace_id
    if principal.workspace == DEFAULT:
        mine = or_(mine, AuditEvent.workspace_id.is_(None))
    statement = select(AuditEvent.__table__).where(mine)
    if query.since is not None:
        statement = statement.where(AuditEvent.at >= query.since)
    if query.until is not None:
        statement = statement.where(AuditEvent.at < query.until)
    for column in (AuditEvent.action, AuditEvent.target, AuditEvent.actor, AuditEvent.result):
        given = getattr(query, column.key)
        if given is not None and given.endswith("*") and column is not AuditEvent.result:
            statement = statement.where(column.startswith(given[:-1], autoescape=True))
        elif given is not None:
            statement = statement.where(column == given)
    if query.cursor is not None:
        text, event_id = position_of("audit", query.cursor, [str, int])
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise problems.bad_request("cursor", query.cursor, "`next` of another page of this list")
        statement = statement.where(tuple_(AuditEvent.at, AuditEvent.id) < (at, event_id))
    statement = statement.order_by(AuditEvent.at.desc(), AuditEvent.id.desc()).limit(query.limit + 1)
    with engine.connect() as connection:
        rows, after = page_of("audit", connection.execute(statement).all(), query, "at", "id")
    return EventPage(items=[_view(row) for row in rows], next=after)


def writers(engine: Engine) -> tuple[Callable[[Sequence[Event]], None], Callable[[Sequence[Event]], None]]:
    """(write, write_once) as AuditLog takes them."""
    return (lambda events: write(engine, events)), (lambda events: write_once(engine, events))


def _row(event: Event) -> dict[str, object]:
    return {
        "at": event.at, "workspace_id": event.workspace_id, "actor": event.actor, "action": event.action,
        "target": event.target, "result": event.result, "request_id": event.request_id,
        "trace_id": event.trace_id, "detail": dict(event.detail),
    }  # fmt: skip


def _view(row: Any) -> EventView:
    values = row._asdict()
    scope: Literal["workspace", "service"] = "service" if values.pop("workspace_id") is None else "workspace"
    return EventView(**values, scope=scope)
