"""Simulated processes that hold worker ids and use milliseconds, and a record of who used which."""

from pathlib import Path

from app.coordination.lease import WorkerLease
from app.coordination.tenure import Tenure
from app.ids import IdsUnavailableError
from tests.unit.app.coordination.fakes import FakeEpochs, FakeEtcd, World

BEGIN_MS = 1_800_000_000_000


class Process:
    """One process with clocks of its own: `wall_ms` how far off, `frozen_s` time it didn't see."""

    def __init__(self, fleet: "Fleet", directory: Path, **more) -> None:
        self.fleet, self.wall_ms, self.frozen_s = fleet, 0, 0.0
        self.events: list[tuple[str, dict]] = []
        self.lease = WorkerLease(
            fleet.etcd, fleet.epochs.table, datacenter=0, holder=f"p{len(fleet.processes)}",
            directory=directory, on_event=lambda kind, detail: self.events.append((kind, dict(detail))),
            clock_ms=self.clock_ms, monotonic=self.monotonic, **more,
        )  # fmt: skip
        self._tenure: Tenure | None = None
        self._last_ms = self._reserved_ms = 0
        fleet.processes.append(self)

    def clock_ms(self) -> int:
        return BEGIN_MS + round((self.fleet.world.now - self.frozen_s) * 1_000) + self.wall_ms

    def monotonic(self) -> float:
        return self.fleet.world.now - self.frozen_s

    @property
    def worker(self) -> int:
        tenure = self.lease.tenure
        return -1 if tenure is None else tenure.worker

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def use(self) -> bool:
        """Use the clock's millisecond, as a generator does; whether it was allowed."""
        tenure = self.lease.tenure
        if tenure is not None and tenure is not self._tenure:
            self._tenure = tenure  # a new generator for a new tenure
            self._last_ms = self._reserved_ms = tenure.used_until_ms
        return self.use_stale()

    def use_stale(self) -> bool:
        """The same by a generator that hasn't noticed that its tenure is over."""
        tenure, ms = self._tenure, self.clock_ms()
        if tenure is None or ms < self._last_ms or ms == tenure.used_until_ms or not tenure.usable():
            return False
        if ms > self._reserved_ms:
            try:
                self._reserved_ms = tenure.reserve(ms)
            except IdsUnavailableError:
                return False
            assert self._reserved_ms >= ms
        self._last_ms = ms
        self.fleet.used(tenure, ms)
        return True

    def stop(self) -> None:
        self.lease.release(self._last_ms)

    def die(self) -> None:
        """kill -9: the kernel drops the file's lock, and nothing else happens."""
        if self.lease._file is not None:
            self.lease._file.close()
        self.fleet.processes.remove(self)


class Fleet:
    def __init__(self, free=(0, 1, 2)) -> None:
        self.world = World()
        self.etcd, self.epochs = FakeEtcd(self.world), FakeEpochs()
        self.free = free
        self.etcd.hold_all_but(0, free)
        self.processes: list[Process] = []
        self._user: dict[tuple[int, int], Tenure] = {}

    def used(self, tenure: Tenure, ms: int) -> None:
        before = self._user.setdefault((tenure.worker, ms), tenure)
        assert before is tenure, f"worker {tenure.worker} was used twice at {ms}"

    def pass_time(self, seconds: float, renewing: bool = True) -> None:
        """Time passes in steps; processes that live renew every 10 s of it."""
        for _ in range(round(seconds * 2)):
            self.world.now += 0.5
            if renewing and self.world.now % 10 == 0:
                for process in self.processes:
                    process.lease.renew()
