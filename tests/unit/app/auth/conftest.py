"""A database of keys in memory, which can be away, and directories in front of it."""

from types import SimpleNamespace

import pytest

from app.auth import keys
from app.auth.directory import KeyDirectory
from app.auth.principal import KeyRecord, Principal


class Clock:
    """Seconds, which pass only when told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Database:
    """Rows, as the directory asks for them."""

    def __init__(self) -> None:
        self.records, self.revoked, self.away = {}, [], False
        self.asked, self.looked = [], []

    def find_many(self, sha256s):
        self._alive()
        self.asked.append(list(sha256s))
        return {sha256: self.records[sha256] for sha256 in sha256s if sha256 in self.records}

    def revoked_within(self, seconds):
        self._alive()
        self.looked.append(seconds)
        return list(self.revoked)

    def _alive(self):
        if self.away:
            raise OSError("away")

    def add(self, token, key_id=1, expires_at=None):
        who = Principal(key_id, 5, "shop", frozenset({"issue"}), f"key {key_id}")
        self.records[keys.digest(token)] = KeyRecord(who, expires_at)
        return who

    def revoke(self, token):
        sha256 = keys.digest(token)
        self.records[sha256] = KeyRecord(self.records[sha256].principal, revoked=True)
        self.revoked.append(sha256)
        return sha256


class Shared:
    """The calls of app.cache.connect.Cache, in memory."""

    def __init__(self) -> None:
        self.values, self.away, self.listeners, self.reads = {}, False, [], 0

    def wake(self):
        pass

    def get(self, key):
        self.reads += 1
        return None if self.away else self.values.get(key)

    def get_many(self, keys):
        return [self.get(key) for key in keys]

    def put(self, key, value, ttl_s):
        if not self.away:
            self.values[key] = value
        return not self.away

    def put_new(self, key, value, ttl_s):
        return False if self.away or key in self.values else self.put(key, value, ttl_s)

    def publish(self, channel, message):
        if not self.away:
            for listener in self.listeners:
                listener(message)
        return not self.away


@pytest.fixture
def world():
    """Clocks, a database, Redis, what was told, and `directory(...)` for a process's directory."""
    made = SimpleNamespace(
        monotonic=Clock(50.0),
        now=Clock(1_800_000_000.0),
        database=Database(),
        shared=Shared(),
        hits=[],
        used=[],
    )

    def directory(*, redis=True, listening=True, **more):
        new = KeyDirectory(
            made.database,
            made.monotonic,
            made.now,
            redis=made.shared if redis else None,
            on_hits=made.hits.append,
            on_used=made.used.append,
            **more,
        )
        if redis and listening:
            made.shared.listeners.append(new.on_message)
        return new

    def passes(seconds):
        made.monotonic.now += seconds
        made.now.now += seconds

    made.directory, made.passes = directory, passes
    return made
