"""The causes themselves: real work, a real lock, a real bad plan."""

import hashlib
import threading

from sqlalchemy import Engine, text

# The condition spans both sides in one expression, so no hash or merge join is possible: the planner can only
# compare every row with every other (Nested Loop in EXPLAIN).
SLOW_PLAN = text(
    "SELECT count(*) FROM generate_series(1, :rows) AS a(x) CROSS JOIN generate_series(1, :rows) AS b(y)"
    " WHERE (a.x * b.y) % 7919 = 1"
)

_BLOCK = bytes(4_096)
_ROUNDS_A_BLOCK = 8  # hashing a block takes about as long as that many rounds of `compute`


def compute(rounds: int) -> bytes:
    """A chain of hashes; each step needs the one before, and so short that the interpreter lock is kept."""
    digest = b"plumbline"
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest


class Contention:
    """One lock, as a process has where everything goes through one structure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def suffer(self, rounds: int, threads: int) -> None:
        """Split the work of `rounds` over `threads` threads and the caller, each part under the lock.

        The work gives up the interpreter lock, so it's this lock alone that keeps them from running at once.
        Returns when the caller had its turn, which may be any: on average half of the work is waited for.
        """
        part = max(1, rounds // (threads + 1))
        asking = threading.Barrier(threads + 1)

        def rival() -> None:
            asking.wait()
            with self._lock:
                hash_blocks(part)

        for _ in range(threads):
            threading.Thread(target=rival, name="lock-fault", daemon=True).start()
        # Nobody takes the lock before all are here, or the first would be done before the others want it.
        asking.wait()
        with self._lock:
            hash_blocks(part)


def hash_blocks(rounds: int) -> bytes:
    """Work of about `rounds` rounds of `compute`, on blocks so long that hashing frees the interpreter."""
    digest = hashlib.sha256()
    for _ in range(max(1, rounds // _ROUNDS_A_BLOCK)):
        digest.update(_BLOCK)
    return digest.digest()


def slow_plan(engine: Engine, rows: int) -> None:
    """Run the bad plan on a connection of the service's own pool, which it keeps busy meanwhile."""
    with engine.connect() as connection:
        connection.execute(SLOW_PLAN, {"rows": rows})
