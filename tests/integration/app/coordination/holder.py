"""A process that holds a worker id and uses milliseconds: `python holder.py '{"etcd": ..., ...}'`.

It prints its events as JSON lines, and appends "worker epoch ms" to the file `used` before using it. SIGTERM
releases the id.
"""

import json
import signal
import sqlite3
import sys
import time
from pathlib import Path

from app.coordination.etcd import Etcd
from app.coordination.lease import WorkerLease, unix_ms
from app.coordination.tenure import Epochs, FencedError
from app.ids import IdsUnavailableError


def epochs_in_postgres(url: str) -> Epochs:
    from sqlalchemy import create_engine

    from app.storage import workers

    engine = create_engine(url)
    return Epochs(
        lambda worker, holder: workers.begin(engine, 0, worker, holder),
        lambda worker, epoch, until_ms: workers.reserve(engine, 0, worker, epoch, until_ms),
        fenced=workers.FencedError,
        end=lambda worker, epoch, last_ms: workers.end(engine, 0, worker, epoch, last_ms),
    )


def epochs_in_a_file(path: str) -> Epochs:
    """The same by SQLite, for tests of etcd alone."""
    table = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    table.execute(
        "create table if not exists epochs (worker integer primary key, epoch integer, used integer)"
    )

    def begin(worker: int, holder: str) -> tuple[int, int]:
        return table.execute(
            "insert into epochs values (?, 1, 0) on conflict (worker) do update set epoch = epoch + 1 "
            "returning epoch, used",
            (worker,),
        ).fetchall()[0]

    def reserve(worker: int, epoch: int, until_ms: int) -> None:
        change = "update epochs set used = max(used, ?) where worker = ? and epoch = ?"
        if not table.execute(change, (until_ms, worker, epoch)).rowcount:
            raise FencedError(f"epoch {epoch} of worker {worker} is over")

    return Epochs(begin, reserve)


def tell(kind: str, detail: object) -> None:
    print(json.dumps({"kind": kind, "at": time.time(), "detail": detail}), flush=True)


def main(given: dict) -> None:
    epochs = given["epochs"]
    lease = WorkerLease(
        Etcd(given["etcd"]),
        epochs_in_postgres(epochs) if epochs.startswith("postgresql") else epochs_in_a_file(epochs),
        datacenter=0, holder=given["name"], directory=Path(given["directory"]), on_event=tell,
        ttl_s=given["ttl_s"],
    )  # fmt: skip
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    lease.start()
    tenure, last_ms, reserved_ms, was_usable = None, 0, 0, False
    with Path(given["used"]).open("a", buffering=1) as record:
        while not stopped:
            time.sleep(0.002)
            if lease.usable() != was_usable:
                was_usable = not was_usable
                tell("usable" if was_usable else "unusable", {})
            if lease.tenure is not tenure:
                tenure = lease.tenure
                last_ms = reserved_ms = tenure.used_until_ms if tenure else 0
            ms = unix_ms()
            if tenure is None or ms <= last_ms or not tenure.usable():
                continue
            if ms > reserved_ms:
                try:
                    reserved_ms = tenure.reserve(ms)
                except IdsUnavailableError as error:
                    tell("refused", str(error))
                    continue
            last_ms = ms
            record.write(f"{tenure.worker} {tenure.epoch} {ms}\n")
    lease.release(last_ms)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
