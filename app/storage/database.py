"""The connection pool of one process."""

from sqlalchemy import Engine, create_engine, text

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 5_000


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine that opens no connection yet. Call it in the process that uses it, after any fork."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_recycle=1_800,
        # The optimistic lock needs each statement to see what others committed (READ COMMITTED).
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "plumbline-app",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        },
    )


def ping(engine: Engine) -> None:
    """Raise when the database doesn't answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
