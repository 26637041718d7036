"""POST /v1/exports, GET /v1/exports/{id}, GET /v1/exports/{id}/content."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from flask import Blueprint, Response, g, redirect
from pydantic import BaseModel, ConfigDict, Field

from app.jobs.export import MEDIA_TYPES, ExportRequest
from app.jobs.queue import JobQueue, Seen, TooManyJobsError
from app.jobs.store import NoSuchObjectError, Store
from app.server import problems
from app.server.operation import Content, operation
from app.server.problems import ProblemError
from app.storage.tags import Tag

LINK_LIVES_S = 300.0
RETRY_S = 10.0
_ID = {"type": "string", "format": "uuid"}


class Export(BaseModel):
    """An export and how far it is. `size` (octets), `sha256` and `content` are there once it is done."""

    model_config = ConfigDict(extra="forbid")

    id: str
    state: Literal["queued", "running", "done", "failed"]
    tag: str
    count: int
    format: Literal["ndjson", "octets"]
    progress: float = Field(ge=0, le=1, description="share of the IDs that are written")
    created_at: str = Field(description="RFC 3339, UTC")
    finished_at: str | None = None
    attempts: int = Field(description="how often a worker began it")
    kind: Literal["int64", "uuid"] | None = Field(None, description="of the IDs in the file")
    size: int | None = None
    sha256: str | None = None
    content: str | None = Field(None, description="where the file is read from")
    error: str | None = Field(None, description="why it failed, or why the last attempt did")


_FILE = Content(
    "The file. Its SHA-256 is the ETag.",
    media={kind: {"type": "string", "format": "binary"} for kind in MEDIA_TYPES.values()},
)


def blueprint(
    queue: JobQueue,
    store: Store,
    find_tag: Callable[[int, str], Tag | None],
    record: Callable[..., None] = lambda action, target, result, **more: None,
) -> Blueprint:
    """The endpoints over the queue and the store. record: the audit's."""
    made = Blueprint("exports", __name__)

    @made.post("/v1/exports")
    @operation(
        summary="Export many IDs as a file",
        description="A worker draws them; ask for the export's state until it is done.",
        scope="issue",
        answers={202: Export},
        body=ExportRequest,
        problems=("unknown-tag", "tag-disabled", "too-many-exports", "database-unavailable"),
        group="Exports",
    )
    def create(body: ExportRequest) -> Response:
        caller = g.principal
        tag = find_tag(caller.workspace_id, body.tag)
        if tag is None:
            raise problems.unknown_tag(body.tag)
        if not tag.config.enabled:
            raise problems.tag_disabled(body.tag)
        try:
            job = queue.submit(caller.workspace_id, body.model_dump())
        except TooManyJobsError as error:
            raise problems.of("too-many-exports", str(error), RETRY_S) from None
        record(
            "export.create", str(job), "ok",
            workspace_id=caller.workspace_id, actor=caller.name, detail=body.model_dump(),
        )  # fmt: skip
        told = _told(_found(queue, str(job)))
        headers = {"Location": f"/v1/exports/{job}"}
        return Response(told.model_dump_json(), 202, headers, content_type="application/json")

    @made.get("/v1/exports/<id>")
    @operation(
        summary="How an export is",
        scope="issue",
        answers={200: Export},
        problems=("not-found", "database-unavailable"),
        group="Exports",
        path={"id": _ID},
    )
    def show(id: str) -> Export:
        return _told(_found(queue, id))

    @made.get("/v1/exports/<id>/content")
    @operation(
        summary="Read an export's file",
        scope="issue",
        answers={200: _FILE},
        problems=("not-found", "export-not-done", "export-gone", "database-unavailable"),
        group="Exports",
        path={"id": _ID},
    )
    def content(id: str) -> Any:
        seen = _found(queue, id)
        if seen.state != "done":
            raise problems.of("export-not-done", f"export: is in the state {seen.state!r}; allowed: 'done'")
        key = seen.result["key"]
        if link := store.link(key, LINK_LIVES_S):
            return redirect(link, 307)
        try:
            blocks = store.read(key)
        except NoSuchObjectError:
            raise problems.of("export-gone", f"export: {id} has no file any more") from None
        form = seen.request["format"]
        response = Response(blocks, content_type=MEDIA_TYPES[form])
        response.content_length = seen.result["size"]
        response.set_etag(seen.result["sha256"])
        response.headers["X-Id-Kind"] = seen.result["kind"]
        response.headers["Content-Disposition"] = f'attachment; filename="{seen.id}.{form}"'
        return response

    return made


def _found(queue: JobQueue, text: str) -> Seen:
    """The caller's export; another workspace's is as unknown as none."""
    try:
        seen = queue.find(g.principal.workspace_id, uuid.UUID(text))
    except ValueError:
        raise _unknown(text) from None
    if seen is None:
        raise _unknown(text)
    return seen


def _unknown(text: str) -> ProblemError:
    return problems.of("not-found", f"export: {problems.shown(text)} does not exist")


def _told(seen: Seen) -> Export:
    done = seen.state == "done"
    count = seen.request["count"]
    return Export(
        id=str(seen.id),
        state=seen.state,
        **seen.request,
        progress=1.0 if done else min(1.0, seen.result.get("done", 0) / count),
        created_at=_rfc3339(seen.created_at),
        finished_at=_rfc3339(seen.finished_at) if seen.finished_at else None,
        attempts=seen.attempts,
        error=seen.error,
        **({key: seen.result[key] for key in ("kind", "size", "sha256")} if done else {}),
        content=f"/v1/exports/{seen.id}/content" if done else None,
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
