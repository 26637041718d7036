"""The keys that one process knows: let in, refused, revoked. Pure: times are arguments, memory is bounded."""

import threading
from collections.abc import Sequence
from typing import TypeVar

from app.auth.principal import AuthError, KeyRecord, Principal, Slug

FRESH_S = 3.0
"""A check is good for this long without a further look; keys in use are checked again before."""
REFUSED_S = 2.0
KEEP_S = 600.0
"""Keys that nobody uses are forgotten after this."""
MOST_REFUSED = 10_000

V = TypeVar("V")


class Entry:
    """A key that was let in. Times are monotonic seconds, `expires_at` is Unix seconds or infinity.

    hot: set by each use, taken back by `Known.in_use`.
    """

    __slots__ = ("checked", "expires_at", "fresh_until", "hot", "principal", "used")

    def __init__(self, record: KeyRecord, now: float) -> None:
        self.principal: Principal = record.principal
        self.expires_at = float("inf") if record.expires_at is None else record.expires_at
        self.checked = self.used = now
        self.hot = False
        self.fresh_until = now + FRESH_S

    def says(self, record: KeyRecord) -> bool:
        """Whether the record is of a good key and tells nothing new."""
        expires_at = float("inf") if record.expires_at is None else record.expires_at
        return not record.revoked and (record.principal, expires_at) == (self.principal, self.expires_at)


class Known:
    """Thread-safe. `entries` may be read by anyone without a lock: SHA-256 (32 octets) to Entry."""

    def __init__(self, most_keys: int) -> None:
        self.entries: dict[bytes, Entry] = {}
        self._most_keys = most_keys
        self._refused: dict[bytes, tuple[float, Slug]] = {}
        self._revoked: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def refusal(self, sha256: bytes, now: float) -> Slug | None:
        """Why the key was refused a moment ago."""
        until, slug = self._refused.get(sha256, (now, None))
        return slug if now < until else None

    def is_revoked(self, sha256: bytes) -> bool:
        """Whether its revocation has been learnt."""
        return sha256 in self._revoked

    def admit(self, sha256: bytes, record: KeyRecord | None, now: float, unix_now: float) -> Principal:
        """Keep what the record, read at `now`, says of a key. Raises AuthError when the key isn't good."""
        with self._lock:
            slug = self._flaw(sha256, record, unix_now)
            if record is not None and slug is None:
                if sha256 not in self.entries and len(self.entries) >= self._most_keys:
                    _drop_oldest(self.entries)
                self.entries[sha256] = Entry(record, now)
                return record.principal
            assert slug is not None
            self.entries.pop(sha256, None)
            if len(self._refused) >= MOST_REFUSED:
                _drop_oldest(self._refused)
            self._refused[sha256] = (now + REFUSED_S, slug)
        raise AuthError(slug)

    def recheck(self, sha256: bytes, record: KeyRecord | None, now: float, unix_now: float) -> None:
        """The same for a key that may be known already: it stays, changes or goes."""
        entry = self.entries.get(sha256)
        if entry is None:
            return
        if record is not None and entry.says(record):
            entry.checked, entry.fresh_until = now, now + FRESH_S
            return
        try:
            self.admit(sha256, record, now, unix_now)
        except AuthError:
            return  # it's gone

    def in_use(self, now: float) -> list[bytes]:
        """The keys that were used since the last call."""
        hot = []
        for sha256, entry in list(self.entries.items()):
            if entry.hot:
                entry.hot, entry.used = False, now
                hot.append(sha256)
        return hot

    def revoke(self, sha256: bytes, now: float) -> None:
        """Refuse it from now on, also when a record read earlier comes in later."""
        with self._lock:
            self._revoked[sha256] = now
            self.entries.pop(sha256, None)
            self._refused[sha256] = (now + REFUSED_S, "key-revoked")

    def drop(self, sha256: bytes) -> None:
        """Know nothing of it."""
        with self._lock:
            self.entries.pop(sha256, None)
            self._refused.pop(sha256, None)

    def distrust(self) -> None:
        """Have every key checked again when it's next used."""
        for entry in list(self.entries.values()):
            entry.fresh_until = entry.checked = float("-inf")

    def sweep(self, now: float, *, idle: bool, revoked_s: float) -> None:
        """Forget refusals that are over, revocations older than `revoked_s` and, if asked, idle keys."""
        with self._lock:
            self._refused = {sha256: each for sha256, each in self._refused.items() if now < each[0]}
            self._revoked = {sha256: at for sha256, at in self._revoked.items() if now - at < revoked_s}
            if idle:
                self.entries = {sha256: e for sha256, e in self.entries.items() if now - e.used < KEEP_S}

    def sizes(self) -> Sequence[int]:
        """How many are let in, refused, revoked."""
        return len(self.entries), len(self._refused), len(self._revoked)

    def _flaw(self, sha256: bytes, record: KeyRecord | None, unix_now: float) -> Slug | None:
        if sha256 in self._revoked or (record is not None and record.revoked):
            return "key-revoked"
        if record is None:
            return "key-unknown"
        if record.expires_at is not None and unix_now >= record.expires_at:
            return "key-expired"
        return None


def _drop_oldest(known: dict[bytes, V]) -> None:
    """A tenth, so that it isn't done for every new one."""
    for sha256 in list(known)[: max(1, len(known) // 10)]:
        known.pop(sha256, None)
