"""Fencing epochs of worker ids: whoever begins later wins, and the one before can't go on.

`used_until_ms` is the Unix millisecond up to which IDs may have been issued under a worker id. It's written
ahead of use, and the next holder starts after it.
"""

from typing import NamedTuple

from sqlalchemy import Engine, Update, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.storage.models import WorkerEpoch

RESTORE_JUMP = 1 << 20
"""More epochs than can have begun between a backup and the loss that it was restored for."""


class FencedError(Exception):
    """A newer holder of the worker id exists, or the id was given back: nothing may be issued under it."""


class Epoch(NamedTuple):
    """A holder's number, and the millisecond after which it may begin."""

    epoch: int
    used_until_ms: int


class Worker(NamedTuple):
    """A worker id as the database knows it; holder is empty when it was given back."""

    worker: int
    epoch: int
    holder: str
    used_until_ms: int


def begin(engine: Engine, datacenter: int, worker: int, holder: str) -> Epoch:
    """Make `holder` the worker id's holder, and every earlier one stale. Raises what the database raises."""
    first = {"datacenter": datacenter, "worker": worker, "epoch": 1, "holder": holder}
    statement = (
        insert(WorkerEpoch)
        .values(**first)
        .on_conflict_do_update(
            index_elements=[WorkerEpoch.datacenter, WorkerEpoch.worker],
            set_={
                "epoch": WorkerEpoch.epoch + 1,
                "holder": holder,
                "began_ms": WorkerEpoch.used_until_ms,
                "updated_at": func.now(),
            },
        )
        .returning(WorkerEpoch.epoch, WorkerEpoch.used_until_ms)
    )
    with engine.begin() as connection:
        return Epoch(*connection.execute(statement).one())


def reserve(engine: Engine, datacenter: int, worker: int, epoch: int, until_ms: int) -> int:
    """Make "used until `until_ms`" durable; the stamp, which is later when more was reserved before.

    Raises FencedError, or what the database raises.
    """
    later = func.greatest(WorkerEpoch.used_until_ms, until_ms)
    return _changed(engine, _mine(datacenter, worker, epoch).values(used_until_ms=later), worker, epoch)


def end(engine: Engine, datacenter: int, worker: int, epoch: int, last_ms: int) -> int:
    """Give the id back with the last millisecond really used; the stamp. So the next holder needn't wait.

    It can be earlier than what was reserved, but never than what the epoch began with. The epoch is over:
    later calls with it raise FencedError, as this one does for a stale epoch.
    """
    really = func.greatest(WorkerEpoch.began_ms, last_ms)
    statement = _mine(datacenter, worker, epoch).values(used_until_ms=really, holder="")
    return _changed(engine, statement, worker, epoch)


def every(engine: Engine, datacenter: int) -> list[Worker]:
    """All worker ids of a data centre that were ever held, by number."""
    query = (
        select(WorkerEpoch.worker, WorkerEpoch.epoch, WorkerEpoch.holder, WorkerEpoch.used_until_ms)
        .where(WorkerEpoch.datacenter == datacenter)
        .order_by(WorkerEpoch.worker)
    )
    with engine.connect() as connection:
        return [Worker(*row) for row in connection.execute(query)]


def fence_all(engine: Engine, now_ms: int) -> int:
    """After a restore: make every holder stale and every stamp `now_ms` at least; how many worker ids.

    The backup's epochs and stamps are as old as it is; holders from after it would look current.
    """
    statement = update(WorkerEpoch).values(
        epoch=WorkerEpoch.epoch + RESTORE_JUMP,
        used_until_ms=func.greatest(WorkerEpoch.used_until_ms, now_ms),
        updated_at=func.now(),
    )
    with engine.begin() as connection:
        return connection.execute(statement).rowcount


def _mine(datacenter: int, worker: int, epoch: int) -> Update:
    return (
        update(WorkerEpoch)
        .where(
            WorkerEpoch.datacenter == datacenter, WorkerEpoch.worker == worker,
            WorkerEpoch.epoch == epoch, WorkerEpoch.holder != "",
        )
        .values(updated_at=func.now())
    )  # fmt: skip


def _changed(engine: Engine, statement: Update, worker: int, epoch: int) -> int:
    with engine.begin() as connection:
        row = connection.execute(statement.returning(WorkerEpoch.used_until_ms)).one_or_none()
    if row is None:
        raise FencedError(
            f"worker id {worker}: epoch {epoch} is over; a newer holder exists or it was given back"
        )
    return int(row.used_until_ms)
