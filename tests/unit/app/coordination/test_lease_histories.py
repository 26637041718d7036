"""Whatever happens to processes, clocks, etcd and Postgres, no millisecond of a worker id is used twice.

Seeded random histories. A seed that fails is a counterexample that repeats; its steps are in the message.
"""

import random
import tempfile
from pathlib import Path

import pytest

from app.coordination.lease import FencedAtStartError, WorkerIdsExhaustedError
from app.coordination.store import EtcdAwayError
from app.coordination.tenure import NotHeldError
from app.coordination.worker_ids import Stamp
from tests.unit.app.coordination.processes import Fleet, Process

HISTORIES, STEPS = 250, 60
NOT_NOW = EtcdAwayError, WorkerIdsExhaustedError, FencedAtStartError, NotHeldError, ConnectionError
MEMORY = Path("/dev/shm")  # thousands of syncs to a disk would say nothing more


class History:
    """Two hosts, up to four processes, two worker ids.

    etcd may lose everything, or come back as it was earlier, but not while Postgres hasn't been told yet what
    etcd alone has confirmed: one store at least must have kept its word.
    """

    ACTIONS = (
        ("use", 6), ("begin", 2), ("acquire", 3), ("renew", 4), ("stop", 1), ("kill", 2), ("pass_time", 4),
        ("jump", 3), ("set_clock_right", 2), ("freeze", 1), ("switch_etcd", 1), ("switch_postgres", 1),
        ("lose_answer", 1), ("back_up", 1), ("restore", 1), ("wipe", 1),
    )  # fmt: skip

    def __init__(self, seed: int, folder: Path) -> None:
        self.draw, self.folder = random.Random(seed), folder
        self.fleet = Fleet(free=(0, 1))
        self.backup = self.fleet.etcd.snapshot()
        self.clocks_agree, self.steps = True, []
        self.used = 0
        self.begin()
        self.begin()

    def step(self) -> None:
        names, weights = zip(*self.ACTIONS, strict=True)
        [name] = self.draw.choices(names, weights)
        self.steps.append(name)
        if self.fleet.processes or name not in ("acquire", "renew", "stop", "kill", "jump", "freeze"):
            getattr(self, name)()
        for one in self.fleet.processes:
            self.used += one.use_stale()  # the fleet's record refuses a second user
        if self.clocks_agree:
            usable = [p.worker for p in self.fleet.processes if p.lease.usable()]
            assert len(usable) == len(set(usable)), "a worker id has two holders"

    def one(self) -> Process:
        return self.draw.choice(self.fleet.processes)

    def use(self) -> None:
        for one in self.fleet.processes:
            one.use()  # notices a new tenure
        self.fleet.world.now += self.draw.choice([0.001, 0.5, 2.9])

    def begin(self) -> None:
        if len(self.fleet.processes) < 4:
            Process(self.fleet, self.folder / self.draw.choice("ab"))
            self.acquire()

    def acquire(self) -> None:
        for one in self.fleet.processes:
            try:
                one.lease.acquire()
            except (
                EtcdAwayError,
                WorkerIdsExhaustedError,
                FencedAtStartError,
                NotHeldError,
                ConnectionError,
            ):
                assert one.lease.tenure is None

    def renew(self) -> None:
        one = self.one()
        one.lease.renew()
        one.use()

    def stop(self) -> None:
        one = self.one()
        one.stop()
        self.fleet.processes.remove(one)

    def kill(self) -> None:
        self.one().die()

    def pass_time(self) -> None:
        seconds = self.draw.choice([1, 5, 12, 31, 34, 60])
        self.fleet.pass_time(seconds, renewing=self.draw.random() < 0.6)

    def jump(self) -> None:
        one = self.one()
        one.wall_ms += self.draw.choice([-3_600_000, -5_000, -500, -3, 3, 5_000, 31_000, 3_600_000])
        one.use()

    def set_clock_right(self) -> None:
        for one in self.fleet.processes:
            one.wall_ms = round(one.frozen_s * 1_000)

    def freeze(self) -> None:
        """A machine stands still with all its clocks."""
        seconds = self.draw.choice([5, 40])
        self.one().frozen_s += seconds
        self.fleet.world.now += seconds
        self.clocks_agree = False

    def switch_etcd(self) -> None:
        self.fleet.etcd.away = self.draw.random() < 0.3

    def switch_postgres(self) -> None:
        self.fleet.epochs.away = self.draw.random() < 0.3

    def lose_answer(self) -> None:
        self.fleet.etcd.lose_answers = 1

    def back_up(self) -> None:
        self.backup = self.fleet.etcd.snapshot()

    def restore(self) -> None:
        if self.told_postgres():
            self.fleet.etcd.restore(self.backup)
            self.clocks_agree = False

    def wipe(self) -> None:
        if self.told_postgres():
            self.fleet.etcd.restore(({}, {}, 1))
            self.fleet.etcd.hold_all_but(0, self.fleet.free)
            self.backup = self.fleet.etcd.snapshot()
            self.clocks_agree = False

    def told_postgres(self) -> bool:
        """Whether Postgres knows every reservation that etcd knows, and every holder's."""
        tenures = [process.lease.tenure for process in self.fleet.processes if process.lease.tenure]
        known = [(tenure.worker, tenure.durable_until_ms) for tenure in tenures]
        for key, entry in self.fleet.etcd.kept.items():
            if key.startswith("/idgen/stamps/0/"):
                known.append((int(key.rpartition("/")[2]), Stamp.parse(entry.value).used_until_ms))
        rows = self.fleet.epochs.rows
        return all(rows.get(worker, (0, 0))[1] >= until_ms for worker, until_ms in known)


def test_no_millisecond_of_a_worker_id_is_ever_used_twice():
    used = 0
    for seed in range(HISTORIES):
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            history = History(seed, Path(folder))
            try:
                for _ in range(STEPS):
                    history.step()
            except AssertionError as error:
                pytest.fail(f"seed {seed}: {error}; {' '.join(history.steps)}")
            finally:
                for process in list(history.fleet.processes):
                    process.die()
            used += history.used
    assert used > HISTORIES * STEPS / 4, "histories in which hardly anything is used prove nothing"
