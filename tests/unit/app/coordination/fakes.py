"""etcd and the epochs' table in memory, with time as an argument and switches for what can go wrong."""

from collections.abc import Iterator, Mapping, Sequence

from app.coordination.store import Change, Delete, Entry, EtcdAwayError, LeaseGoneError, Put, WatchBrokenError
from app.coordination.tenure import Epochs, FencedError


class World:
    """Seconds since the beginning, the same for all."""

    def __init__(self) -> None:
        self.now = 0.0


class FakeEtcd:
    """A `Store`. `away`: nothing answers. `lose_answers`: so many writes are done but not answered."""

    def __init__(self, world: World) -> None:
        self.world, self.away, self.lose_answers = world, False, 0
        self.kept: dict[str, Entry] = {}
        self.leases: dict[int, tuple[float, int]] = {}
        self.log: list[Change] = []
        self.revision = self._next_lease = 1
        self.cut_watches = False
        self.calls = 0

    def get(self, key: str) -> Entry | None:
        self._ask()
        return self.kept.get(key)

    def list(self, prefix: str) -> tuple[list[Entry], int]:
        self._ask()
        return [e for key, e in sorted(self.kept.items()) if key.startswith(prefix)], self.revision

    def transact(self, when: Mapping[str, int], then: Sequence[Put | Delete]) -> int | None:
        self._ask()
        if any(isinstance(one, Put) and one.lease and one.lease not in self.leases for one in then):
            raise LeaseGoneError("the lease has expired")
        if any((self.kept[key].revision if key in self.kept else 0) != at for key, at in when.items()):
            return None
        self.revision += 1
        for one in then:
            if isinstance(one, Put):
                self.kept[one.key] = Entry(one.key, one.value, self.revision, one.lease)
                self.log.append(Change(one.key, one.value, self.revision))
            else:
                self._remove(one.key)
        if self.lose_answers:
            self.lose_answers -= 1
            raise EtcdAwayError("the answer was lost")
        return self.revision

    def grant(self, ttl_s: int) -> tuple[int, int]:
        self._ask()
        self._next_lease += 1
        self.leases[self._next_lease] = (self.world.now + ttl_s, ttl_s)
        return self._next_lease, ttl_s

    def keep_alive(self, lease: int) -> int:
        self._ask()
        if lease not in self.leases:
            return 0
        ttl_s = self.leases[lease][1]
        self.leases[lease] = (self.world.now + ttl_s, ttl_s)
        return ttl_s

    def revoke(self, lease: int) -> None:
        self._ask()
        self._end(lease)

    def watch(self, prefix: str, after_revision: int, idle_s: float) -> Iterator[Change]:
        self._ask()
        if self.cut_watches:
            raise WatchBrokenError("cut")
        yield from [c for c in self.log if c.key.startswith(prefix) and c.revision > after_revision]

    # What a test does to it.

    def put(self, key: str, value: str) -> None:
        """As an operator does by hand."""
        self.transact({}, [Put(key, value)])

    def snapshot(self) -> tuple:
        return dict(self.kept), dict(self.leases), self.revision

    def restore(self, snapshot: tuple) -> None:
        """A backup comes back: old keys, old leases with their whole time, revisions that may repeat."""
        kept, leases, self.revision = snapshot
        self.kept = dict(kept)
        self.leases = {lease: (self.world.now + ttl_s, ttl_s) for lease, (_, ttl_s) in leases.items()}
        self.log = []

    def hold_all_but(self, datacenter: int, free: Sequence[int]) -> None:
        """Somebody holds every other worker id for ever."""
        for worker in set(range(256)) - set(free):
            key = f"/idgen/workers/{datacenter}/{worker}"
            self.kept[key] = Entry(key, "{}", 1)

    def expire(self) -> None:
        for lease, (until, _) in list(self.leases.items()):
            if until <= self.world.now:
                self._end(lease)

    def _ask(self) -> None:
        self.calls += 1
        self.expire()
        if self.away:
            raise EtcdAwayError("etcd gives no answer")

    def _end(self, lease: int) -> None:
        self.leases.pop(lease, None)
        keys = [key for key, entry in list(self.kept.items()) if entry.lease == lease]
        if keys:
            self.revision += 1
        for key in keys:
            self._remove(key)

    def _remove(self, key: str) -> None:
        if self.kept.pop(key, None) is not None:
            self.log.append(Change(key, None, self.revision))


class FakeEpochs:
    """The table in Postgres: worker -> (epoch, used until). Reservations only grow."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, int]] = {}
        self.away = False
        self.calls = 0

    def begin(self, worker: int, holder: str) -> tuple[int, int]:
        self._ask()
        epoch, used = self.rows.get(worker, (0, 0))
        self.rows[worker] = (epoch + 1, used)
        return epoch + 1, used

    def reserve(self, worker: int, epoch: int, until_ms: int) -> None:
        self._ask()
        newest, used = self.rows[worker]
        if newest != epoch:
            raise FencedError(f"epoch {newest} exists, this is {epoch}")
        self.rows[worker] = (epoch, max(used, until_ms))

    def end(self, worker: int, epoch: int, last_ms: int) -> None:
        self.reserve(worker, epoch, 0)
        self.rows[worker] = (epoch, last_ms)

    def _ask(self) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("no database")

    @property
    def table(self) -> Epochs:
        return Epochs(self.begin, self.reserve, end=self.end)
