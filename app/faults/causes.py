"""The causes themselves: real work, a real bad plan, a real bad answer."""

import hashlib

from sqlalchemy import Engine, text

# The condition spans both sides in one expression, so no hash or merge join is possible: the planner can only
# compare every row with every other (Nested Loop in EXPLAIN).
SLOW_PLAN = text(
    "SELECT count(*) FROM generate_series(1, :rows) AS a(x) CROSS JOIN generate_series(1, :rows) AS b(y)"
    " WHERE (a.x * b.y) % 7919 = 1"
)


def compute(rounds: int) -> bytes:
    """A chain of hashes; each step needs the one before, and so short that the interpreter lock is kept."""
    digest = b"plumbline"
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest


def slow_plan(engine: Engine, rows: int) -> None:
    """Run the bad plan on a connection of the service's own pool, which it keeps busy meanwhile."""
    with engine.connect() as connection:
        connection.execute(SLOW_PLAN, {"rows": rows})
