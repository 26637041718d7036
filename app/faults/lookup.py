"""The table behind the fault `missing_index`: the same rows twice, once with an index and once without.

Both exist only while the fault is set. They belong to one server (`owner`), so that another server of the
same database that ends its own fault never takes them away.
"""

import hashlib
import random
import re
from collections.abc import Callable

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

ROWS = 200_000
_LOCK_KEY = 7_586_114_220  # any number, the same for all; the schema's migration has another
_UNDEFINED_TABLE = "42P01"


class LookupTables:
    """owner: letters, digits and _ that name the server, such as `green_0_3`."""

    def __init__(
        self, engine: Engine, owner: str, pick: Callable[[int], int] = random.randrange, rows: int = ROWS
    ) -> None:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", owner, re.ASCII):
            raise ValueError(f"owner: {owner!r} is not allowed; allowed: 1 to 32 of a-z, 0-9 and _")
        self._engine, self._pick, self._rows = engine, pick, rows
        self.indexed, self.bare = f"fault_lookup_{owner}", f"fault_lookup_{owner}_bare"

    def query(self, *, with_index: bool) -> str:
        """One look-up, with the parameter :code."""
        return f"SELECT id FROM {self.indexed if with_index else self.bare} WHERE code = :code"  # noqa: S608

    def ensure(self) -> None:
        """Create and fill both tables unless they exist, in about a second. Raises what the database does."""
        with self._engine.begin() as connection:
            _one_at_a_time(connection)
            if connection.execute(text("SELECT to_regclass(:name)"), {"name": self.bare}).scalar():
                return
            numbers = f"generate_series(1, {self._rows:d}) AS n"
            rows = f"SELECT n AS id, md5(n::text) AS code FROM {numbers}"  # noqa: S608
            for table in (self.indexed, self.bare):
                # Unlogged: nothing here is worth a place in the log, or on a replica.
                connection.execute(text(f"CREATE UNLOGGED TABLE {table} AS {rows}"))
            connection.execute(text(f"CREATE UNIQUE INDEX ON {self.indexed} (code)"))
            for table in (self.indexed, self.bare):
                connection.execute(text(f"ANALYZE {table}"))

    def drop(self) -> None:
        """Remove both tables where they exist."""
        with self._engine.begin() as connection:
            _one_at_a_time(connection)
            connection.execute(text(f"DROP TABLE IF EXISTS {self.indexed}, {self.bare}"))

    def look_up(self, lookups: int, *, with_index: bool = False) -> None:
        """Look that many codes up. Nothing happens once the tables are gone: then the fault has ended."""
        query = text(self.query(with_index=with_index))
        with self._engine.connect() as connection:
            # A parallel scan would hide a part of the cost behind other cores.
            connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
            try:
                for _ in range(lookups):
                    connection.execute(query, {"code": code_of(1 + self._pick(self._rows))}).one()
            except ProgrammingError as error:
                if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                    raise


def code_of(number: int) -> str:
    """The code of a row, as Postgres's md5() writes it."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _one_at_a_time(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
