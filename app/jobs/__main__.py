"""The export worker.

  python -m app.jobs work                       until SIGTERM; one export at a time
  python -m app.jobs check [--oldest-s 30]      exit 0 while a worker of this host and slot works, else 1

Environment: the service's own (PLUMBLINE_*), with PLUMBLINE_JOBS_DIR. Several workers share one queue. At
SIGTERM a running export may go on for --grace-s and is put back after that. Exit 2: bad settings.
"""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Engine

from app import settings as configuration
from app.coordination.config_watch import ConfigWatch
from app.coordination.etcd import Etcd
from app.coordination.lease import WorkerLease
from app.coordination.tenure import Epochs
from app.ids.uuids import Uuid4, Uuid7
from app.jobs import status as watching
from app.jobs.bell import PostgresBell
from app.jobs.export import KIND, Drawing, Generates
from app.jobs.queue import JobQueue
from app.jobs.snowflakes import Snowflakes
from app.jobs.store import LocalStore
from app.jobs.worker import Told, Worker
from app.server import logs
from app.server.logs import logger
from app.settings import Settings
from app.storage import database, segments, workers
from app.storage.tags import Tag, TagDirectory

STUCK_S = 60.0
TAG_FRESH_S = 4.0
CONFIG_CACHE = "jobs-tag-configuration.json"
POOL = 4
"""Database connections: the queue, a lease's renewal, the ranges, one spare."""


def health_file(settings: Settings) -> Path:
    """Where this slot's worker says that it is well."""
    return settings.runtime_dir / f"jobs-{settings.slot}.json"


def work(settings: Settings, given: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT."""
    if settings.jobs_dir is None or not settings.jobs_dir.is_absolute():
        print(
            f"PLUMBLINE_JOBS_DIR: {str(settings.jobs_dir or '')!r} is not allowed; allowed: the absolute "
            "path of the directory for finished exports",
            file=sys.stderr,
        )
        return 2
    holder = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
    url = settings.database_url.get_secret_value()
    engine = database.connect(url, pool_min=POOL, pool_max=POOL, acquire_s=settings.db_acquire_s)
    etcd = Etcd(settings.etcd_url)
    config = ConfigWatch(etcd, settings.claims_dir / CONFIG_CACHE)
    config.load()
    config.start()
    tags = TagDirectory(engine, time.monotonic, overlay=config.overlay, fresh_s=TAG_FRESH_S)
    snowflakes = snowflakes_of(settings, etcd, engine, holder)
    queue = JobQueue(engine, KIND, lease_s=given.lease_s)
    told = Told()
    bell = PostgresBell(url, lambda: worker.stopping)
    worker = Worker(
        queue,
        Drawing(
            find=tags.find,
            ranges=lambda tag, size: [
                segments.allocate_local_first(engine, tag, settings.datacenter, size, holder=holder)
            ],
            generator=generators(snowflakes),
        ),
        LocalStore(settings.jobs_dir),
        bell,
        holder=holder,
        told=told,
        poll_s=given.poll_s,
        grace_s=given.grace_s,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())

    def moves() -> bool:
        return worker.idle_s() < STUCK_S

    shown = watching.Status(health_file(settings), told, alive=moves, queue_counts=queue.counts)
    server = None
    if given.metrics:
        host, _, port = given.metrics.rpartition(":")
        server = watching.serve(shown, host, int(port), moves)
    shown.start()
    logger().info("export worker begins", holder=holder)
    try:
        worker.work()
    finally:
        if server:
            server.shutdown()
        shown.stop()
        bell.close()
        snowflakes.stop()
        config.stop()
        etcd.close()
        engine.dispose()
        logger().info("export worker ends")
    return 0


def snowflakes_of(settings: Settings, etcd: Etcd, engine: Engine, holder: str) -> Snowflakes:
    """Under a worker id that is this process's alone."""
    here = settings.datacenter

    def begin(worker: int, who: str) -> tuple[int, int]:
        return workers.begin(engine, here, worker, who)

    def reserve(worker: int, epoch: int, until_ms: int) -> None:
        workers.reserve(engine, here, worker, epoch, until_ms)

    def end(worker: int, epoch: int, last_ms: int) -> None:
        workers.end(engine, here, worker, epoch, last_ms)

    return Snowflakes(
        WorkerLease(
            etcd,
            Epochs(begin, reserve, workers.FencedError, end),
            datacenter=here,
            holder=holder,
            directory=settings.claims_dir,
            ttl_s=settings.lease_ttl_s,
        )
    )


def generators(snowflakes: Snowflakes) -> Callable[[Tag], Generates | None]:
    """The algorithms that draw without asking a store for ranges."""
    uuids: dict[str, Generates] = {
        "uuid7": Uuid7(clock_ms=lambda: time.time_ns() // 1_000_000, randomness=os.urandom),
        "uuid4": Uuid4(randomness=os.urandom),
    }

    def of(tag: Tag) -> Generates | None:
        if tag.config.algorithm == "snowflake":
            return snowflakes.of(tag)
        return uuids.get(tag.config.algorithm)

    return of


def check(settings: Settings, given: argparse.Namespace) -> int:
    """Whether the health file is young enough."""
    path = health_file(settings)
    age = watching.age_s(path, time.time())
    if age is None or age > given.oldest_s:
        told = "is not there" if age is None else f"is {age:.0f} s old; allowed: {given.oldest_s:g} s"
        print(f"no export worker: {path} {told}", file=sys.stderr)
        return 1
    print(f"an export worker was well {age:.1f} s ago")
    return 0


def address(text: str) -> str:
    """HOST:PORT as argparse takes it."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: HOST:PORT")
    return text


def seconds(text: str) -> float:
    """A number of seconds from 0.1 to a day, as argparse takes it."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: 0.1 to 86400 seconds")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0 done, 1 not well (check), 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m app.jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    working = actions.add_parser("work")
    working.add_argument("--lease-s", type=seconds, default=30.0, help="a silent worker loses its job then")
    working.add_argument("--poll-s", type=seconds, default=2.0, help="looks at the queue at least so often")
    working.add_argument("--grace-s", type=seconds, default=20.0, help="a running job's time at SIGTERM")
    working.add_argument("--metrics", type=address, help="HOST:PORT for GET /metrics and /healthz")
    checking = actions.add_parser("check")
    checking.add_argument("--oldest-s", type=seconds, default=30.0)
    given = parser.parse_args(arguments)
    try:
        settings, _ = configuration.load()
    except configuration.BadSettingsError as error:
        print(f"the export worker does not start: {error}", file=sys.stderr)
        return 2
    if given.action == "check":
        return check(settings, given)
    logs.configure(settings.log_level, slot=settings.slot, version=settings.version)
    return work(settings, given)


if __name__ == "__main__":
    sys.exit(main())
