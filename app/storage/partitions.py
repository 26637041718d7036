"""The monthly partitions of segment_allocations, made ahead of time.

A row whose month has none goes to the default partition, so nothing ever fails for want of one; making the
month's partition later moves such rows into it.
"""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Engine, text

TABLE = "segment_allocations"
DEFAULT = f"{TABLE}_default"
MOST_AHEAD = 120
LOCK_KEY = 7_586_114_220  # any number, the same for all versions
LOCK_TIMEOUT_MS = 2_000


@dataclass(frozen=True)
class Month:
    """A calendar month, UTC."""

    year: int
    month: int

    @property
    def following(self) -> "Month":
        """The next one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first(self) -> str:
        """Its first moment, as Postgres reads it."""
        return f"{self.year:04d}-{self.month:02d}-01 00:00:00+00"

    @property
    def table(self) -> str:
        """Its partition."""
        return f"{TABLE}_y{self.year:04d}m{self.month:02d}"


def wanted(today: date, months_ahead: int) -> list[Month]:
    """The month of `today` (UTC) and those after it."""
    if not 0 <= months_ahead <= MOST_AHEAD:
        raise ValueError(f"months_ahead {months_ahead}: allowed 0 to {MOST_AHEAD}")
    months = [Month(today.year, today.month)]
    for _ in range(months_ahead):
        months.append(months[-1].following)
    return months


def ensure(engine: Engine, months_ahead: int = 2, *, today: date) -> list[str]:
    """Make the partitions that are missing; their names. Safe to call from every process at once.

    Each is made in a transaction of its own that waits 2 s at most for the default partition; allocations
    of months that have a partition go on meanwhile. Raises what the database raises.
    """
    made = []
    for month in wanted(today, months_ahead):
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            if not _exists(connection, month.table):
                _make(connection, month)
                made.append(month.table)
    return made


def existing(engine: Engine) -> list[str]:
    """All partitions but the default one, oldest first."""
    query = text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = CAST(:parent AS regclass) AND c.relname <> :rest ORDER BY 1"
    )
    with engine.connect() as connection:
        return list(connection.execute(query, {"parent": TABLE, "rest": DEFAULT}).scalars())


def in_default(engine: Engine) -> int:
    """Rows that no month took; above 0 means that `ensure` didn't run."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {DEFAULT}")).scalar_one())  # noqa: S608


def _exists(connection: Connection, table: str) -> bool:
    return bool(connection.execute(text("SELECT to_regclass(:table)"), {"table": table}).scalar())


def _make(connection: Connection, month: Month) -> None:
    """Attach rather than CREATE ... PARTITION OF: that would lock the parent against every allocation."""
    bounds = {"first": month.first, "following": month.following.first}
    connection.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))
    connection.execute(
        text(f"CREATE TABLE {month.table} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    )
    moved = (
        f"WITH moved AS (DELETE FROM {DEFAULT} WHERE allocated_at >= CAST(:first AS timestamptz) "  # noqa: S608
        f"AND allocated_at < CAST(:following AS timestamptz) RETURNING *) "
        f"INSERT INTO {month.table} SELECT * FROM moved"
    )
    connection.execute(text(moved), bounds)
    connection.execute(
        text(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {month.table} "
            f"FOR VALUES FROM ('{month.first}') TO ('{month.following.first}')"
        )
    )
