"""The connection pool of one process."""

import threading
import time
from collections.abc import Callable
from typing import TypedDict

from sqlalchemy import Engine, PoolProxiedConnection, QueuePool, create_engine, text
from sqlalchemy.exc import TimeoutError as QueueTimeoutError

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 5_000
SILENT_MS = 4_000
IDLE_IN_TRANSACTION_MS = 10_000
"""A process that stops between two statements must not keep its row locks for ever."""
ACQUIRE_S = 5.0


class PoolTimeoutError(QueueTimeoutError):
    """Every connection of this process was in use for as long as a caller may wait."""


class PoolNumbers(TypedDict):
    """Connections of one process now; `waiting` counts threads."""

    in_use: int
    idle: int
    waiting: int
    max: int


class MeteredPool(QueuePool):
    """SQLAlchemy's pool, with a clear error and numbers."""

    def __init__(
        self, *arguments: object, on_acquire: Callable[[float, bool], None] | None = None, **more: object
    ) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._on_acquire = on_acquire
        self._waiting = 0
        self._count = threading.Lock()

    def connect(self) -> PoolProxiedConnection:
        """A connection that answers. Raises PoolTimeoutError, or what the database raises."""
        began = time.monotonic()
        timed_out = False
        with self._count:
            self._waiting += 1
        try:
            return super().connect()
        except QueueTimeoutError:
            timed_out = True
            numbers = self.numbers()
            raise PoolTimeoutError(
                f"no database connection within {self._timeout:g} s: {numbers['in_use']} of "
                f"{numbers['max']} that this process may open are in use, {numbers['waiting']} callers wait"
            ) from None
        finally:
            with self._count:
                self._waiting -= 1
            if self._on_acquire:
                self._on_acquire(time.monotonic() - began, timed_out)

    def recreate(self) -> "MeteredPool":
        """What SQLAlchemy asks for at dispose: the same pool, empty."""
        made = super().recreate()
        assert isinstance(made, MeteredPool)
        made._on_acquire = self._on_acquire
        return made

    def numbers(self) -> PoolNumbers:
        """For gauges."""
        return {
            "in_use": self.checkedout(),
            "idle": self.checkedin(),
            "waiting": self._waiting,
            "max": self.size() + self._max_overflow,
        }


def connect(
    url: str,
    *,
    pool_min: int = 5,
    pool_max: int = 10,
    acquire_s: float = ACQUIRE_S,
    on_acquire: Callable[[float, bool], None] | None = None,
) -> Engine:
    """An engine that opens no connection yet. Call it in the process that uses it, after any fork.

    pool_min, pool_max: connections of this process that are kept once opened, and at most (the settings count
    those of all processes: divide). acquire_s: longest wait for a connection, then PoolTimeoutError.
    on_acquire(seconds, timed_out) is called after each wait, by the thread that waited.
    """
    if not 1 <= pool_min <= pool_max:
        raise ValueError(f"pool_min {pool_min}, pool_max {pool_max}: allowed 1 <= pool_min <= pool_max")
    engine = create_engine(
        psycopg_url(url),
        poolclass=MeteredPool,
        pool_size=pool_min,
        max_overflow=pool_max - pool_min,
        pool_timeout=acquire_s,
        pool_pre_ping=True,
        pool_recycle=1_800,
        # The optimistic lock needs each statement to see what others committed (READ COMMITTED).
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            # A server that vanished without a word must be noticed before a worker id's margin is over.
            "tcp_user_timeout": SILENT_MS,
            "application_name": "plumbline-app",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}",
        },
    )
    _pool(engine)._on_acquire = on_acquire
    return engine


def psycopg_url(url: str) -> str:
    """The same URL for SQLAlchemy's psycopg 3 dialect."""
    return "postgresql+psycopg://" + url.partition("://")[2]


def warm(engine: Engine, connections: int) -> None:
    """Open that many connections and keep them, so that the first callers needn't wait for a handshake."""
    held = []
    try:
        for _ in range(connections):
            held.append(engine.connect())
    finally:
        for connection in held:
            connection.close()


def ping(engine: Engine) -> None:
    """Raise when the database doesn't answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def pool_numbers(engine: Engine) -> PoolNumbers:
    """The pool's numbers, for gauges. The engine must come from `connect`."""
    return _pool(engine).numbers()


def _pool(engine: Engine) -> MeteredPool:
    assert isinstance(engine.pool, MeteredPool)
    return engine.pool
