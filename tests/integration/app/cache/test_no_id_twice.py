"""Redis shows how far segments are; whatever happens to it, no ID is issued twice."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import event

from app.cache import states
from app.cache.connect import Cache
from app.cache.tags import SegmentState, TagCache
from app.ids.segment import DoubleBuffer
from app.storage import segments
from app.storage.tags import TagDirectory
from tests.integration.app.cache.farm import MASTER, REPLICA, until

pytestmark = pytest.mark.integration
PROCESSES = 4
STEP = 50


class Issuing:
    """What one process has: a cache, a view of the tag, a buffer that is drawn from until stopped."""

    def __init__(self, engine, address, tag) -> None:
        self.ranges, self.errors, self.loads, self.shown = [], [], 0, 0
        self._engine, self._tag, self._stopped = engine, tag, threading.Event()
        self._spawner = ThreadPoolExecutor(2)
        self.cache = Cache(address, time.monotonic, pause_s=0.3)
        self.cache.start()
        database = TagDirectory(engine, time.monotonic)
        self.tags = TagCache(
            self.cache, 0, read=database.find, spawn=self._spawner.submit, uniform=random.random
        )
        self.tags.warm([tag], states.read(engine, 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _load(self, at_least: int) -> range:
        tag = self.tags.get(self._tag.workspace_id, self._tag.name) or self._tag
        self.shown += self.tags.state(tag.workspace_id, tag.name) is not None
        taken = segments.allocate(self._engine, tag, 0, max(STEP, at_least), holder="test")
        self.tags.put(tag, states.read(self._engine, 0, [tag.id])[tag.id])
        self.loads += 1
        return taken

    def _run(self) -> None:
        buffer = DoubleBuffer(self._load, self._spawner.submit, time.monotonic)
        while not self._stopped.wait(0.002):
            try:
                self.ranges += buffer.blocks(random.randint(1, STEP))
            except Exception as error:
                self.errors.append(error)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(20)
        self._spawner.shutdown()
        self.cache.close()


def test_losing_flushing_or_failing_over_redis_never_repeats_an_id(farm, engine):
    tag = next(tag for tag in TagDirectory(engine, time.monotonic).load() if tag.algorithm == "segment")
    address = farm.sentinel()
    processes = [Issuing(engine, address, tag) for _ in range(PROCESSES)]
    watcher = processes[0]
    try:
        for _ in range(3):
            time.sleep(0.3)
            farm.flush(*farm.masters("sentinel"))
            time.sleep(0.3)
            # What a restore from an old copy would show: IDs that are long issued as the next ones.
            old = SegmentState(next_id=1, last_id=2**53 - 1, step=STEP, version=0)
            watcher.tags.put(tag, old)
        farm.signal(MASTER)
        until(lambda: farm.masters("sentinel") == [REPLICA], 20, "the replica as master")
        until(lambda: all(process.cache.up for process in processes), 15, "Redis again for all")
        loads = watcher.loads
        until(lambda: watcher.loads > loads + 3, 10, "ranges after the failover")
        state = watcher.tags.state(tag.workspace_id, tag.name)
        assert state and state.next_id > 1, "the state is shown again"
        farm.signal(REPLICA)
        loads = watcher.loads
        until(lambda: watcher.loads > loads + 5, 10, "ranges without any Redis")
    finally:
        for process in processes:
            process.stop()
    ranges = sorted((r for process in processes for r in process.ranges), key=lambda each: each.start)
    count = sum(map(len, ranges))
    loads, shown = (sum(getattr(each, what) for each in processes) for what in ("loads", "shown"))
    print(f"{count} IDs, {loads} ranges, {shown} of them with a state from Redis at hand")
    assert all(before.stop <= after.start for before, after in pairwise(ranges))
    assert [process.errors for process in processes] == [[]] * PROCESSES
    assert count > 1_000 and shown > 20


def test_a_hit_in_redis_skips_the_database(farm, engine):
    cache = Cache(farm.standalone(), time.monotonic)
    assert cache.start()
    asked = []

    def directory() -> tuple[TagDirectory, TagCache]:
        database = TagDirectory(engine, time.monotonic)

        def read(workspace_id, name):
            asked.append(name)
            return database.find(workspace_id, name)

        made = TagCache(cache, 0, read=read, spawn=lambda step: step(), uniform=random.random)
        return TagDirectory(engine, time.monotonic, l2_get=made.get, l2_put=made.put), made

    tags, _ = directory()
    orders = next(tag for tag in tags.load() if tag.name == "orders")
    assert farm.cli(6379, "-n", "3", "exists", "segment:default/orders:0") == "1"
    ttl_s = int(farm.cli(6379, "-n", "3", "ttl", "segment:default/orders:0"))
    assert 530 < ttl_s <= 660
    other, other_cache = directory()
    other_cache.warm([orders])
    statements = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert other.find(orders.workspace_id, "orders") == orders
    assert asked == statements == []
    cache.close()
