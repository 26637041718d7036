"""The queue of jobs, in Postgres: each job is run by one worker at a time, and by another when that one dies.

A worker holds a job by a lease that it renews. State: queued -> running -> done or failed; a job whose
worker died, stopped or failed in a way that may pass goes back. While a job runs, `result` tells its holder,
the end of its lease and its progress; afterwards, what it made. All times are the database's.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Engine,
    Float,
    and_,
    case,
    cast,
    delete,
    extract,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from app.storage.models import Job

CHANNEL = "plumbline_jobs"
State = Literal["queued", "running", "done", "failed"]

MOST_ATTEMPTS = 5
MOST_OPEN = 100
"""Jobs of one workspace that may be queued or running."""


class TooManyJobsError(Exception):
    """The workspace has as many open jobs as it may have."""


@dataclass(frozen=True)
class Seen:
    """A job as its owner sees it. result: of a running job its progress, of a done one what it made."""

    id: uuid.UUID
    kind: str
    state: State
    request: dict[str, Any]
    result: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class Taken:
    """A job that this worker holds. attempt: 1 for the first."""

    id: uuid.UUID
    workspace_id: int
    request: dict[str, Any]
    attempt: int


class JobQueue:
    """Every call is one transaction and raises what the database raises.

    lease_s: a worker that doesn't renew for so long loses its job. most_attempts: starts of one job, after
    which it fails.
    """

    def __init__(
        self, engine: Engine, kind: str, *, lease_s: float = 30, most_attempts: int = MOST_ATTEMPTS
    ) -> None:
        self._engine, self._kind = engine, kind
        self.lease_s, self._most_attempts = lease_s, most_attempts

    # What a request does

    def submit(self, workspace_id: int, request: dict[str, Any], *, most_open: int = MOST_OPEN) -> uuid.UUID:
        """Put a job into the queue and wake the workers. Raises TooManyJobsError."""
        job = uuid.uuid4()
        with self._engine.begin() as connection:
            # One at a time for a workspace, or two requests could both take the last place.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(CHANNEL), workspace_id)))
            mine = (Job.workspace_id == workspace_id, Job.kind == self._kind)
            open_jobs = connection.execute(
                select(func.count()).where(*mine, Job.state.in_(("queued", "running")))
            ).scalar_one()
            if open_jobs >= most_open:
                raise TooManyJobsError(f"{open_jobs} jobs are queued or running; allowed: {most_open}")
            values = {"id": job, "workspace_id": workspace_id, "kind": self._kind, "state": "queued"}
            connection.execute(insert(Job).values(**values, request=request))
            connection.execute(select(func.pg_notify(CHANNEL, self._kind)))
        return job

    def find(self, workspace_id: int, job: uuid.UUID) -> Seen | None:
        """The workspace's job; None when it has none of this id."""
        query = select(
            Job.id, Job.kind, Job.state, Job.request, func.coalesce(Job.result, cast({}, JSONB)),
            Job.created_at, Job.finished_at, Job.attempts, Job.error,
        ).where(Job.id == job, Job.workspace_id == workspace_id, Job.kind == self._kind)  # fmt: skip
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return Seen(*row) if row else None

    # What a worker does

    def take(self, holder: str) -> Taken | None:
        """The oldest job that waits or whose holder is gone; None without one. holder: never used again."""
        now = _now()
        orphaned = and_(Job.state == "running", _number("lease_until") < now)
        waiting = and_(Job.state == "queued", func.coalesce(_number("not_before"), 0) <= now)
        with self._engine.begin() as connection:
            connection.execute(
                update(Job)
                .where(Job.kind == self._kind, orphaned, Job.attempts >= self._most_attempts)
                .values(state="failed", finished_at=func.now(), result=null(), error=self._given_up())
            )
            oldest = (
                select(Job.id)
                .where(Job.kind == self._kind, or_(waiting, orphaned))
                .order_by(Job.created_at)
                .limit(1)
                .with_for_update(skip_locked=True)
                .scalar_subquery()
            )
            row = connection.execute(
                update(Job)
                .where(Job.id == oldest)
                .values(
                    state="running",
                    attempts=Job.attempts + 1,
                    started_at=func.now(),
                    error=None,
                    result=self._held_by(holder, 0),
                )
                .returning(Job.id, Job.workspace_id, Job.request, Job.attempts)
            ).one_or_none()
        return Taken(*row) if row else None

    def renew(self, job: uuid.UUID, holder: str, done: int) -> bool:
        """Keep the job and tell its progress; False when it is another's by now."""
        return self._change(job, holder, result=self._held_by(holder, done))

    def finish(self, job: uuid.UUID, holder: str, result: dict[str, Any]) -> bool:
        """It is done; False when it is another's by now, and then nothing was changed."""
        return self._change(job, holder, state="done", finished_at=func.now(), result=result)

    def fail(self, job: uuid.UUID, holder: str, error: str) -> bool:
        """It can't be done, and trying again wouldn't help."""
        return self._change(job, holder, state="failed", finished_at=func.now(), result=null(), error=error)

    def put_back(
        self, job: uuid.UUID, holder: str, *, error: str | None = None, after_s: float = 0.0
    ) -> bool:
        """Let a worker take it again. error: why this attempt failed; it fails for good after the last one.

        Without an error (this worker stops) the attempt doesn't count.
        """
        if error is None:
            return self._change(job, holder, state="queued", attempts=Job.attempts - 1, result=null())
        last = Job.attempts >= self._most_attempts
        later = func.jsonb_build_object("not_before", _now() + after_s)
        return self._change(
            job, holder,
            state=case((last, "failed"), else_="queued"),
            finished_at=case((last, func.now())),
            result=case((~last, later)),
            error=error,
        )  # fmt: skip

    def sweep(self, keep_s: float) -> list[dict[str, Any]]:
        """Forget jobs that ended longer ago than that; what they made."""
        ended = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep_s)
        statement = (
            delete(Job)
            .where(Job.kind == self._kind, Job.state.in_(("done", "failed")), Job.finished_at < ended)
            .returning(Job.result)
        )
        with self._engine.begin() as connection:
            return [row.result for row in connection.execute(statement) if row.result]

    def counts(self) -> dict[str, int]:
        """Jobs by state, for gauges."""
        query = select(Job.state, func.count()).where(Job.kind == self._kind).group_by(Job.state)
        found = dict.fromkeys(("queued", "running", "done", "failed"), 0)
        with self._engine.connect() as connection:
            return found | {row[0]: row[1] for row in connection.execute(query)}

    def _change(self, job: uuid.UUID, holder: str, **values: Any) -> bool:
        mine = (Job.id == job, Job.state == "running", Job.result["holder"].astext == holder)
        with self._engine.begin() as connection:
            return connection.execute(update(Job).where(*mine).values(**values)).rowcount == 1

    def _held_by(self, holder: str, done: int) -> ColumnElement[Any]:
        until = _now() + self.lease_s
        return func.jsonb_build_object(
            "holder", cast(holder, Job.kind.type), "lease_until", until, "done", done
        )

    def _given_up(self) -> str:
        return f"{self._most_attempts} workers began it and died"


def _now() -> ColumnElement[float]:
    # Not the transaction's start: it may have waited for a lock.
    return cast(extract("epoch", func.clock_timestamp()), Float(53))


def _number(key: str) -> ColumnElement[float]:
    return cast(Job.result[key].astext, Float(53))
