"""A Redis client that lives in memory, can be away, and counts what it's asked."""

import pytest
from redis.exceptions import ConnectionError, ResponseError

from app.cache.address import parse
from app.cache.connect import Cache


class Clock:
    """Seconds, which pass only when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """What all clients of one Redis share."""

    def __init__(self, clock) -> None:
        self.clock, self.values, self.published = clock, {}, []
        self.away = self.full = False
        self.calls = self.clients = 0

    def client(self, address, timeout_s) -> "Client":
        self.clients += 1
        return Client(self)

    def alive(self) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("refused")
        self.values = {k: (v, end) for k, (v, end) in self.values.items() if self.clock() < end}


class Client:
    """The part of redis-py that is used."""

    def __init__(self, server) -> None:
        self.server, self.closed, self.queued = server, False, []

    def ping(self):
        self.server.alive()

    def get(self, key):
        self.server.alive()
        return self.server.values.get(key, (None,))[0]

    def set(self, key, value, px, nx=False):
        self.server.alive()
        if self.server.full:
            raise ResponseError("OOM command not allowed when used memory > 'maxmemory'")
        if nx and key in self.server.values:
            return None
        self.server.values[key] = (value, self.server.clock() + px / 1000)
        return True

    def delete(self, key):
        self.server.alive()
        return int(self.server.values.pop(key, None) is not None)

    def publish(self, channel, message):
        self.server.alive()
        self.server.published.append((channel, message))
        return 1

    def pipeline(self, transaction):
        assert not transaction, "a transaction can't span a cluster's nodes"
        return Client(self.server)

    def execute_command(self, *command):
        self.queued.append(command)

    def execute(self):
        done = []
        for name, key, *rest in self.queued:
            done.append(self.get(key) if name == "GET" else self.set(key, rest[0], px=rest[2]))
        return done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.queued = []

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    return Server(clock)


@pytest.fixture
def told():
    """(what, ...) as the cache's callbacks were told."""
    return []


@pytest.fixture
def cache(server, clock, told):
    made = Cache(
        parse("redis://localhost"),
        clock,
        spawn=lambda probe: probe(),
        on_call=lambda operation, outcome: told.append((operation, outcome)),
        on_state=lambda up, why: told.append((up, why)),
        new_client=server.client,
    )
    yield made
    made.close()
