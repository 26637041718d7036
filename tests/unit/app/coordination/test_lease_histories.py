"""Whatever happens to processes, clocks, etcd and Postgres, no millisecond of a worker id is used twice."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.coordination.lease import FencedAtStartError, WorkerIdsExhaustedError
from app.coordination.store import EtcdAwayError
from app.coordination.tenure import NotHeldError
from app.coordination.worker_ids import Stamp
from tests.unit.app.coordination.processes import Fleet, Process

WHICH = st.integers(0, 3)
MEMORY = Path("/dev/shm")  # thousands of syncs to a disk would say nothing more


class Histories(RuleBasedStateMachine):
    """Two hosts, up to four processes, two worker ids.

    etcd may lose everything, or come back as it was earlier, but not while Postgres hasn't been told yet what
    etcd alone has confirmed: one store at least must have kept its word.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.fleet = Fleet(free=(0, 1))
        self.backup = self.fleet.etcd.snapshot()
        self.clocks_agree = True
        for host in "ab":
            self.start(host)

    def teardown(self) -> None:
        for process in list(self.fleet.processes):
            process.die()
        self._folder.cleanup()

    def one(self, which: int) -> Process | None:
        processes = self.fleet.processes
        return processes[which % len(processes)] if processes else None

    @precondition(lambda self: len(self.fleet.processes) < 4)
    @rule(host=st.sampled_from("ab"))
    def begin(self, host):
        self.start(host)

    def start(self, host):
        self.acquire_for(Process(self.fleet, Path(self._folder.name) / host))

    @rule(which=WHICH)
    def acquire(self, which):
        if one := self.one(which):
            self.acquire_for(one)

    def acquire_for(self, one):
        try:
            one.lease.acquire()
            one.use()
        except (EtcdAwayError, WorkerIdsExhaustedError, FencedAtStartError, NotHeldError, ConnectionError):
            assert one.lease.tenure is None

    @rule(which=WHICH)
    def renew(self, which):
        if one := self.one(which):
            one.lease.renew()

    @rule(step_s=st.sampled_from([0.001, 0.5, 2.9]))
    def all_notice_their_tenure_and_use_it(self, step_s):
        for one in self.fleet.processes:
            one.use()
        self.fleet.world.now += step_s

    @rule(which=WHICH)
    def stop(self, which):
        if one := self.one(which):
            one.stop()
            self.fleet.processes.remove(one)

    @rule(which=WHICH)
    def kill(self, which):
        if one := self.one(which):
            one.die()

    @rule(seconds=st.sampled_from([0.001, 1, 5, 12, 31, 60]), renewing=st.booleans())
    def time_passes(self, seconds, renewing):
        if seconds < 1:
            self.fleet.world.now += seconds
        self.fleet.pass_time(seconds, renewing)

    @rule(which=WHICH, ms=st.sampled_from([-3_600_000, -5_000, -500, -3, 3, 5_000, 3_600_000]))
    def clock_jumps(self, which, ms):
        if one := self.one(which):
            one.wall_ms += ms

    @rule(which=WHICH)
    def clock_is_right_again(self, which):
        if one := self.one(which):
            one.wall_ms = round(one.frozen_s * 1_000)

    @rule(which=WHICH, seconds=st.sampled_from([5, 40]))
    def a_machine_is_frozen_with_all_its_clocks(self, which, seconds):
        if one := self.one(which):
            one.frozen_s += seconds
            self.fleet.world.now += seconds
            self.clocks_agree = False

    @rule(away=st.booleans())
    def etcd_goes_or_comes(self, away):
        self.fleet.etcd.away = away

    @rule(away=st.booleans())
    def postgres_goes_or_comes(self, away):
        self.fleet.epochs.away = away

    @rule()
    def an_answer_gets_lost(self):
        self.fleet.etcd.lose_answers = 1

    @rule()
    def back_up_etcd(self):
        self.backup = self.fleet.etcd.snapshot()

    def told_postgres(self) -> bool:
        """Whether Postgres knows every reservation that etcd knows, and every holder's."""
        rows = self.fleet.epochs.rows
        known = [(p.lease.tenure.worker, p.lease.tenure.durable_until_ms) for p in self.holders()]
        for key, entry in self.fleet.etcd.kept.items():
            if key.startswith("/idgen/stamps/0/"):
                stamp = Stamp.parse(entry.value)
                known.append((int(key.rpartition("/")[2]), stamp.used_until_ms))
        return all(rows.get(worker, (0, 0))[1] >= until_ms for worker, until_ms in known)

    def holders(self) -> list[Process]:
        return [process for process in self.fleet.processes if process.lease.tenure]

    @precondition(lambda self: self.told_postgres())
    @rule()
    def etcd_is_restored(self):
        self.fleet.etcd.restore(self.backup)
        self.clocks_agree = False

    @precondition(lambda self: self.told_postgres())
    @rule()
    def etcd_loses_everything(self):
        self.fleet.etcd.restore(({}, {}, 1))
        self.fleet.etcd.hold_all_but(0, self.fleet.free)
        self.backup = self.fleet.etcd.snapshot()
        self.clocks_agree = False

    @invariant()
    def no_millisecond_is_used_twice(self):
        for one in self.fleet.processes:
            one.use_stale()  # the fleet's record refuses a second user

    @invariant()
    def no_worker_id_has_two_holders(self):
        if self.clocks_agree:
            usable = [p.worker for p in self.fleet.processes if p.lease.usable()]
            assert len(usable) == len(set(usable))


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
