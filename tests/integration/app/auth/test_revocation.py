"""API keys over a real database and a real Redis, both of which may be away."""

import time
from contextlib import contextmanager

import pytest
from sqlalchemy import event, func, insert, select, update

from app.auth import keys
from app.auth.directory import TICK_S, KeyDirectory
from app.auth.principal import AuthError, KeysUnavailableError
from app.auth.rows import KeyRows
from app.auth.watch import KeyWatch
from app.cache.connect import Cache
from app.storage.models import ApiKey, Workspace
from tests.integration.app.cache.farm import MASTER, REPLICA, STANDALONE, docker, until

pytestmark = pytest.mark.integration


class Process:
    """What a process of the service has of this."""

    def __init__(self, engine, address) -> None:
        self.hits, self.used, self.errors = {}, {}, []
        self.cache = Cache(address, time.monotonic, pause_s=0.5) if address else None
        if self.cache:
            self.cache.start()
        self.directory = KeyDirectory(
            KeyRows(engine), time.monotonic, time.time, redis=self.cache,
            on_hits=lambda hits: add(self.hits, hits), on_used=lambda used: add(self.used, used),
        )  # fmt: skip
        self.watch = KeyWatch(self.directory, address, on_error=self.errors.append)
        self.watch.start()
        if self.watch.channel:
            self.watch.channel.wait_until_subscribed(5)

    def lets_in(self, token: str) -> bool:
        try:
            return self.directory.authenticate(token).workspace == "default"
        except AuthError as error:
            assert error.slug in ("key-revoked", "key-unknown")
            return False

    def stop(self) -> None:
        self.watch.stop()
        if self.cache:
            self.cache.close()


def add(total, more) -> None:
    for key, count in more.items():
        total[key] = total.get(key, 0) + count


@pytest.fixture
def keyring(engine):
    """make() -> a token whose key is in the database; revoke(token) commits its revocation."""

    class Keyring:
        def make(self, **more) -> str:
            token = keys.make()
            with engine.begin() as connection:
                workspace = connection.scalar(select(Workspace.id).where(Workspace.name == "default"))
                connection.execute(
                    insert(ApiKey).values(
                        workspace_id=workspace, name="test", prefix=keys.shown(token),
                        scopes=["issue", "read"], sha256=keys.digest(token), **more,
                    )
                )  # fmt: skip
            return token

        def revoke(self, token: str) -> bytes:
            with engine.begin() as connection:
                connection.execute(
                    update(ApiKey).where(ApiKey.sha256 == keys.digest(token)).values(revoked_at=func.now())
                )
            return keys.digest(token)

    return Keyring()


@pytest.fixture
def two(engine):
    """two(address) -> two processes, stopped after the test."""
    running = []

    def new(address) -> list[Process]:
        running.extend(Process(engine, address) for _ in range(2))
        return running

    yield new
    for process in running:
        process.stop()
    assert [process.errors for process in running] == [[]] * len(running)


@contextmanager
def seconds(at_most: float, what: str):
    started = time.monotonic()
    yield
    took_s = time.monotonic() - started
    print(f"{what}: {took_s:.3f} s")
    assert took_s < at_most


def refused_by_all(processes, token) -> None:
    """In use all the time, until no process lets it in."""

    def refused() -> bool:
        each = [process.lets_in(token) for process in processes]  # all of them, however the first one answers
        return not any(each)

    until(refused, 6, "refused everywhere")


def test_a_revocation_is_seen_everywhere_with_redis_and_without(farm, keyring, two):
    processes = two(farm.standalone())
    first, second, third = keyring.make(), keyring.make(), keyring.make()
    assert all(process.lets_in(token) for process in processes for token in (first, second, third))
    sha256 = keyring.revoke(first)
    with seconds(1, "with Redis"):
        processes[0].directory.revoked(sha256)
        refused_by_all(processes, first)
    with seconds(5, "written into the database past the service"):
        keyring.revoke(second)
        refused_by_all(processes, second)
    farm.signal(STANDALONE)
    with seconds(5, "without Redis"):
        processes[0].directory.revoked(keyring.revoke(third))
        refused_by_all(processes, third)


def test_a_revocation_in_the_middle_of_a_failover_is_seen_and_outlives_it(farm, keyring, two):
    address = farm.sentinel()
    processes = two(address)
    token = keyring.make()
    assert all(process.lets_in(token) for process in processes)
    farm.signal(MASTER)
    with seconds(5, "during a failover"):
        processes[0].directory.revoked(keyring.revoke(token))
        refused_by_all(processes, token)
    until(lambda: farm.masters("sentinel") == [REPLICA], 20, "the replica as master")
    until(lambda: processes[0].cache.up and processes[1].cache.up, 10, "Redis again")
    time.sleep(TICK_S + 0.5)
    late = two(address)[-1]
    assert not late.lets_in(token) and not any(process.lets_in(token) for process in processes)


def test_with_redis_away_the_database_answers_and_with_both_away_memory_does(farm, keyring, two, server):
    processes = two(farm.standalone())
    known, later = keyring.make(), keyring.make()
    assert all(process.lets_in(known) for process in processes)
    farm.signal(STANDALONE)
    assert all(process.lets_in(known) and process.lets_in(later) for process in processes)
    docker("pause", server.name)
    try:
        end, slowest_s = time.monotonic() + 9, 0.0
        while time.monotonic() < end:
            for process in processes:
                started = time.monotonic()
                assert process.lets_in(known) and process.lets_in(later)
                slowest_s = max(slowest_s, time.monotonic() - started)
            time.sleep(0.02)
        print(f"both away: the slowest of two keys {slowest_s * 1000:.1f} ms")
        assert slowest_s < 0.5
        with pytest.raises(KeysUnavailableError):
            processes[0].directory.authenticate(keys.make())
    finally:
        docker("unpause", server.name)
    until(lambda: processes[0].directory._known and _asks(processes[0], keyring), 20, "the database again")
    processes[0].watch.stop()
    assert processes[0].hits.get("stale", 0) > 0


def _asks(process: Process, keyring) -> bool:
    try:
        return process.lets_in(keyring.make())
    except KeysUnavailableError:
        return False


def test_the_second_process_has_the_key_from_redis_and_redis_has_no_key(farm, keyring, two, engine):
    one, other = two(farm.standalone())
    token = keyring.make()
    assert one.lets_in(token)
    statements = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert other.lets_in(token)
    assert not [each for each in statements if "api_keys.id" in each]
    name = f"key:{keys.digest(token).hex()}"
    assert farm.cli(STANDALONE, "-n", "3", "--scan") == name
    assert token[4:] not in farm.cli(STANDALONE, "-n", "3", "get", name)
    farm.flush(STANDALONE)
    assert one.lets_in(token) and other.lets_in(token)
    one.watch.stop()
    other.watch.stop()
    assert one.hits == {"miss": 1, "l1": 1} and other.hits == {"l2": 1, "l1": 1}
    assert sum(one.used.values()) == 2


def test_a_key_expires_at_its_time(keyring, two, engine):
    with engine.connect() as connection:
        soon = connection.scalar(select(func.now() + func.make_interval(0, 0, 0, 0, 0, 0, 1.5)))
    token = keyring.make(expires_at=soon)
    process = two(None)[0]
    assert process.lets_in(token)

    def slug() -> str:
        try:
            process.directory.authenticate(token)
        except AuthError as error:
            return error.slug
        return ""

    assert until(slug, 3, "the end") == "key-expired"
    assert abs(time.time() - soon.timestamp()) < 0.5
