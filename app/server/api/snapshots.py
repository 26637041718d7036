"""/v1/snapshots: a workspace's configuration, to compare with and to go back to."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from flask import Blueprint, Response, g, url_for
from sqlalchemy import Engine

from app.administration.names import NAME, Record
from app.administration.paging import PageQuery
from app.administration.tags import Changed, Known
from app.server.api.answer import with_headers
from app.server.operation import operation
from app.server.problems import ProblemError
from app.snapshots import store
from app.snapshots.restore import Restore, Restored, restore
from app.snapshots.store import (
    CleanedUp,
    Cleanup,
    Count,
    Differences,
    SnapshotNew,
    SnapshotPage,
    SnapshotView,
    SnapshotWhole,
)

T = TypeVar("T")
_GROUP = "Snapshots"
_PATH = {"name": {"type": "string", "pattern": NAME}}


def blueprint(
    engine: Engine,
    record: Record,
    changed: Changed,
    known: Known,
    *,
    count: Count = lambda operation, outcome: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Blueprint:
    """changed, known: as for tags. count(`create` | `restore` | `cleanup`, `ok` | `refused` | `error`)."""
    api = Blueprint("snapshots", __name__)

    def counted(what: str, do: Callable[[], T]) -> T:
        try:
            done = do()
        except ProblemError:
            count(what, "refused")
            raise
        except Exception:
            count(what, "error")
            raise
        count(what, "ok")
        return done

    @api.get("/v1/snapshots")
    @operation(
        summary="List snapshots",
        scope="read",
        query=PageQuery,
        answers={200: SnapshotPage},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
    )
    def page(query: PageQuery) -> SnapshotPage:
        return store.page(engine, g.principal, query)

    @api.post("/v1/snapshots")
    @operation(
        summary="Make a snapshot of the workspace's groups and tags",
        scope="admin",
        body=SnapshotNew,
        answers={201: SnapshotView},
        problems=("bad-request", "already-exists", "too-many", "database-unavailable"),
        group=_GROUP,
        description="Keys and the positions of segments are not part of it.",
    )
    def new(body: SnapshotNew) -> Response:
        made = counted("create", lambda: store.make(engine, g.principal, body, record))
        return with_headers(made, {"Location": url_for("snapshots.get", name=made.name)}, 201)

    @api.get("/v1/snapshots/<name>")
    @operation(
        summary="Show a snapshot",
        scope="read",
        answers={200: SnapshotWhole},
        problems=("not-found", "not-restorable", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def get(name: str) -> SnapshotWhole:
        return store.get(engine, g.principal, name)

    @api.delete("/v1/snapshots/<name>")
    @operation(
        summary="Remove a snapshot",
        scope="admin",
        answers={204: "Removed"},
        problems=("not-found", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def remove(name: str) -> None:
        store.remove(engine, g.principal, name, record)

    @api.get("/v1/snapshots/<name>:diff")
    @operation(
        summary="Compare a snapshot with now",
        scope="read",
        answers={200: Differences},
        problems=("not-found", "not-restorable", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
    )
    def diff(name: str) -> Differences:
        return store.compare(engine, g.principal, name)

    @api.post("/v1/snapshots/<name>:restore")
    @operation(
        summary="Go back to a snapshot",
        scope="admin",
        body=Restore,
        answers={200: Restored},
        problems=("bad-request", "not-found", "repeats-ids", "not-restorable", "database-unavailable"),
        group=_GROUP,
        path=_PATH,
        description="All or nothing. Tags and groups that the snapshot lacks are kept; tags may be disabled.",
    )
    def go_back(name: str, body: Restore) -> Restored:
        return counted(
            "restore",
            lambda: restore(engine, g.principal, name, body, record, changed=changed, known=known),
        )

    @api.post("/v1/snapshots:cleanup")
    @operation(
        summary="Remove old snapshots",
        scope="admin",
        body=Cleanup,
        answers={200: CleanedUp},
        problems=("bad-request", "database-unavailable"),
        group=_GROUP,
    )
    def clean_up(body: Cleanup) -> CleanedUp:
        return counted("cleanup", lambda: store.clean_up(engine, g.principal, body, record, now()))

    return api
