"""Redis alone, under Sentinels and as a cluster, real ones, that fail while they're used."""

import threading
import time

import pytest

from app.cache.channel import Channel
from app.cache.connect import TIMEOUT_S, Cache
from tests.integration.app.cache.farm import CLUSTER, MODES, until

pytestmark = pytest.mark.integration
PAUSE_S = 0.5


class Traffic:
    """Two threads that put and get all the time, and what went wrong."""

    def __init__(self, cache: Cache) -> None:
        self.raised, self.slowest_s, self.calls = [], 0.0, 0
        self._cache, self._stopped = cache, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(2)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, thread: int) -> None:
        n = 0
        while not self._stopped.wait(0.002):
            n += 1
            key, value, started = f"t{thread}:{n % 50}", b"%d" % n, time.monotonic()
            try:
                self._cache.put(key, value, 60)
                got = self._cache.get(key)
                if got is not None and int(got) > n:
                    self.raised.append(AssertionError(f"{key}: {got!r}"))
            except Exception as error:
                self.raised.append(error)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.calls += 1


@pytest.fixture
def connected(farm):
    """connected(mode) -> (cache, channel's messages)."""
    opened = []

    def new(mode: str) -> tuple[Cache, list[bytes]]:
        address, messages = farm.of(mode), []
        cache = Cache(address, time.monotonic, pause_s=PAUSE_S)
        channel = Channel(address, "news", messages.append, lambda: messages.append(b"connected"))
        opened.extend((cache.close, channel.stop))
        assert cache.start(), "Redis answers"
        channel.start()
        assert channel.wait_until_subscribed(5)
        return cache, messages

    yield new
    for close in opened:
        close()


def works(cache: Cache) -> bool:
    return all(cache.put(f"w{n}", b"1", 10) and cache.get(f"w{n}") == b"1" for n in range(20))


@pytest.mark.parametrize("mode", MODES)
def test_values_and_messages_go_through_in_each_mode(connected, farm, mode):
    cache, messages = connected(mode)
    values = {f"k{n}": (b"%d" % n, 60.0) for n in range(700)}
    assert cache.put_many(values) == 700
    assert cache.get_many([*values, "none"]) == [value for value, _ in values.values()] + [None]
    assert cache.put_new("new", b"1", 60) and not cache.put_new("new", b"2", 60)
    assert cache.put("short", b"1", 0.1) and cache.forget("new") and cache.get("new") is None
    until(lambda: cache.get("short") is None, 2, "the end of a short life")
    assert cache.publish("news", b"hello")
    until(lambda: b"hello" in messages, 2, "the message")
    farm.flush(*farm.masters(mode))
    assert cache.get("k1") is None and works(cache)


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
def test_a_master_that_dies_under_traffic_is_replaced_and_nothing_is_raised(connected, farm, mode):
    cache, messages = connected(mode)
    with Traffic(cache) as traffic:
        time.sleep(0.3)
        dead = farm.masters(mode)[0]
        farm.signal(dead)
        until(lambda: len(farm.masters(mode)) == (1 if mode == "sentinel" else 3), 20, "another master")
        until(lambda: works(cache), 15, "all keys again")
    assert traffic.raised == [] and traffic.calls > 100
    print(f"{mode}: {traffic.calls} calls, the slowest {traffic.slowest_s * 1000:.0f} ms")
    assert traffic.slowest_s < 6 * TIMEOUT_S, "bounded by the timeouts, not by the outage"

    def heard() -> bool:
        cache.publish("news", b"after")
        return b"after" in messages

    until(heard, 15, "a message after the failover")


@pytest.mark.parametrize("mode", MODES)
def test_redis_that_hangs_costs_one_timeout_and_then_nothing(connected, farm, mode):
    cache, _ = connected(mode)
    ports = CLUSTER if mode == "cluster" else farm.masters(mode)
    assert works(cache)
    for port in ports:
        farm.signal(port, "STOP")
    try:
        started = time.monotonic()
        assert cache.get("w1") is None
        first_s = time.monotonic() - started
        assert first_s < TIMEOUT_S * 2
        slowest_s = 0.0
        for _ in range(200):
            started = time.monotonic()
            assert cache.get("w1") is None and not cache.put("w1", b"2", 10)
            slowest_s = max(slowest_s, time.monotonic() - started)
            time.sleep(0.005)
        print(f"{mode}: the first call {first_s * 1000:.0f} ms, then at most {slowest_s * 1e6:.0f} us")
        assert slowest_s < TIMEOUT_S / 2, "only probes wait, in the background"
    finally:
        for port in ports:
            farm.signal(port, "CONT")
    until(lambda: works(cache), 20, "Redis that goes on")


def test_redis_that_is_restarted_is_found_again(connected, farm):
    cache, messages = connected("standalone")
    (port,) = farm.masters("standalone")
    farm.signal(port)
    assert cache.get("w1") is None and not cache.up
    messages.clear()
    farm.standalone()
    until(lambda: works(cache), 10, "Redis that is back")
    until(lambda: b"connected" in messages, 10, "the subscription")


def test_a_wrong_password_is_said_without_it(farm):
    address, told = farm.standalone(), []
    farm.cli(6379, "config", "set", "requirepass", "another")
    cache = Cache(address, time.monotonic, on_state=lambda up, why: told.append((up, why)))
    assert not cache.start() and cache.get("a") is None
    assert told[0][0] is False and "s3/cr@t" not in told[0][1]
    cache.close()
