"""Who an API key belongs to: in this process (L1), else in Redis (L2), else in the database.

**Revocation.** A key is refused everywhere within 5 s of its revocation's commit, by four ways, of which one
is enough: the message that `revoked` publishes (at once); each process's own look at the latest revocations
in the database (`tick`, every 2 s), which needs no Redis; the mark that `revoked` leaves in Redis, against
which keys in use are checked every 2 s; and, when the database doesn't answer, the use of a key whose last
check is 4 s old asks Redis again. A revocation is final: another key is made instead.

**The limit.** A process that reaches neither Redis nor the database goes on letting in the keys that it
knows, since IDs can still be issued then; a revocation reaches it when either is back. Expiry needs nobody,
and is looked at on each use.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.auth import keys
from app.auth.known import FRESH_S, Entry, Known
from app.auth.limits import KeyLimits
from app.auth.principal import AuthError, KeyRecord, KeysUnavailableError, Principal
from app.auth.tally import Tally
from app.cache.connect import Cache
from app.cache.keys import TTL_S, KeyCache

CHANNEL = "plumbline:keys"
TICK_S = 2.0
TRUST_S = 4.0
"""Longest time for which a check, or a look at the latest revocations, is relied on."""
DATABASE_PAUSE_S = 2.0
SWEEP_S = 30.0
MOST_KEYS = 10_000
MOST_LOOKUPS_A_SECOND = 500.0

_LOOKBACK_S = TTL_S + 60  # no value in Redis is older than what this covers
_NEVER = float("-inf")


class Rows(Protocol):
    """Where keys are kept: app.auth.rows.KeyRows. Each method may raise anything."""

    def find_many(self, sha256s: Sequence[bytes]) -> Mapping[bytes, KeyRecord]:
        """Those that exist, revoked or not."""
        ...

    def revoked_within(self, seconds: float) -> Sequence[bytes]:
        """SHA-256 of the keys revoked in that time."""
        ...


class KeyDirectory:
    """Thread-safe. Someone must call `tick` every `TICK_S` (app.auth.watch does).

    monotonic: seconds. now: Unix seconds, for expiry. redis: the cache for L2 and for publishing, None for no
    Redis. on_hits({level: count}) and on_used({key id: count}) are told on `tick` and `flush_used`; levels
    are `l1`, `l2`, `miss` (the database was asked), `stale` (let in by L1 though neither could be asked).
    """

    def __init__(
        self,
        rows: Rows,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        *,
        redis: Cache | None = None,
        on_hits: Callable[[Mapping[str, int]], None] = lambda hits: None,
        on_used: Callable[[Mapping[int, int]], None] = lambda used: None,
        most_keys: int = MOST_KEYS,
        lookups_per_s: float = MOST_LOOKUPS_A_SECOND,
    ) -> None:
        self._rows, self._monotonic, self._now = rows, monotonic, now
        self._redis, self._l2 = redis, KeyCache(redis) if redis else None
        self._on_hits, self._on_used = on_hits, on_used
        self._known = Known(most_keys)
        self._lookups = KeyLimits(lookups_per_s, max(1.0, lookups_per_s), monotonic)
        self._unmarked: set[bytes] = set()
        self._looked_at = self._swept_at = self._database_failed_at = _NEVER
        self._looking_since: float | None = None
        self._hits: Tally[str] = Tally()
        self._used: Tally[int] = Tally()

    def authenticate(self, token: str | None) -> Principal:
        """Who calls. Raises AuthError, or KeysUnavailableError for an unknown key that can't be looked up."""
        if not token:
            raise AuthError("key-missing")
        if len(token) != keys.LENGTH or not token.isascii():
            raise AuthError("key-unknown")
        digest = keys.digest(token)
        entry = self._known.entries.get(digest)
        if entry is None:
            principal = self._unknown(token, digest)
        elif self._now() >= entry.expires_at:
            raise AuthError("key-expired")
        elif self._monotonic() < entry.fresh_until:
            entry.hot = True
            self._hits.add("l1")
            principal = entry.principal
        else:
            principal = self._older(digest, entry)
        self._used.add(principal.key_id)
        return principal

    def known(self, token: str) -> Principal | None:
        """Who calls, as far as memory alone can say so; None: ask `authenticate`. `served` counts its use."""
        entry = self._known.entries.get(keys.digest(token)) if token.isascii() else None
        if entry is None or self._now() >= entry.expires_at or self._monotonic() >= entry.fresh_until:
            return None
        entry.hot = True
        return entry.principal

    def served(self, key_id: int) -> None:
        """A request of a key that `known` knew was served: counts it."""
        self._hits.add("l1")
        self._used.add(key_id)

    def revoked(self, sha256: bytes) -> None:
        """Call it when a revocation is committed or a key deleted: all learn of it. Never raises."""
        self._known.revoke(sha256, self._monotonic())
        if self._redis and self._l2:
            if not self._l2.mark_revoked(sha256):
                self._unmarked.add(sha256)
            self._redis.publish(CHANNEL, b"revoked " + sha256.hex().encode())

    def changed(self, sha256: bytes) -> None:
        """Call it when a key was made or changed: it's read anew everywhere. Never raises."""
        self._known.drop(sha256)
        if self._redis and self._l2:
            self._l2.hold(sha256)
            self._redis.publish(CHANNEL, b"changed " + sha256.hex().encode())

    def on_message(self, message: bytes) -> None:
        """What another process published; anything else is ignored."""
        what, _, digits = message.partition(b" ")
        try:
            sha256 = bytes.fromhex(digits.decode())
        except ValueError:
            return
        if len(sha256) == 32 and what == b"revoked":
            self._known.revoke(sha256, self._monotonic())
        elif len(sha256) == 32 and what == b"changed":
            self._known.drop(sha256)

    def distrust(self) -> None:
        """Messages may have been missed: check every known key again when it's next used."""
        self._known.distrust()

    def tick(self) -> None:
        """Learn of revocations, check the keys in use, forget the idle ones, tell the hits."""
        if self._redis:
            self._redis.wake()
        self._look_for_revocations()
        self._mark_revoked()
        self._check_in_use()
        now = self._monotonic()
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            # During an outage nothing known is given away.
            self._known.sweep(now, idle=now - self._looked_at < TRUST_S, revoked_s=2 * _LOOKBACK_S)
        if hits := self._hits.take():
            self._on_hits(hits)

    def flush_used(self) -> None:
        """Tell how often each key was used since the last time."""
        if used := self._used.take():
            self._on_used(used)

    def __len__(self) -> int:
        return len(self._known.entries)

    def _unknown(self, token: str, digest: bytes) -> Principal:
        now = self._monotonic()
        if slug := self._known.refusal(digest, now):
            raise AuthError(slug)
        if not keys.well_formed(token):
            raise AuthError("key-unknown")
        level, record = "l2", self._l2.get(digest) if self._l2 else None
        if record is None:
            level = "miss"
            if self._database_away():
                raise KeysUnavailableError("the database does not answer")
            if wait := self._lookups.take(0):
                raise KeysUnavailableError("too many unknown keys at once", wait)
            try:
                record = self._ask([digest]).get(digest)
            except Exception as error:
                raise KeysUnavailableError("the database does not answer") from error
        self._hits.add(level)
        return self._known.admit(digest, record, now, self._now())

    def _older(self, digest: bytes, entry: Entry) -> Principal:
        """A known key whose last check is some time ago. Let in at once, unless that can't be relied on."""
        now = self._monotonic()
        level = "l1"
        if now - entry.checked >= TRUST_S and now - self._looked_at >= TRUST_S:
            # Neither this key nor the revocations were checked in time. One caller asks, the others go on.
            entry.fresh_until = now + FRESH_S
            level = self._check_now(digest, now)
        entry.hot = True
        self._hits.add(level)
        return entry.principal

    def _check_now(self, digest: bytes, now: float) -> str:
        """Ask L2, else the database. The level that answered; raises AuthError when the key isn't good."""
        level, record = "l2", self._l2.get(digest) if self._l2 else None
        if record is None:
            if self._database_away():
                return "stale"
            try:
                level, record = "miss", self._ask([digest]).get(digest)
            except Exception:
                return "stale"
        self._known.admit(digest, record, now, self._now())
        return level

    def _look_for_revocations(self) -> None:
        started = self._looking_since = self._monotonic()
        # After an outage it looks back as far as the outage was long.
        missed = 0.0 if self._looked_at == _NEVER else started - self._looked_at
        try:
            found = self._rows.revoked_within(_LOOKBACK_S + missed)
        except Exception:
            self._database_failed_at = self._monotonic()
            return
        finally:
            self._looking_since = None
        for sha256 in found:
            if not self._known.is_revoked(sha256):
                self._known.revoke(sha256, started)
                self._unmarked.add(sha256)  # whoever revoked it may not have reached Redis
        self._looked_at, self._database_failed_at = started, _NEVER

    def _mark_revoked(self) -> None:
        """Redis may come back with what it held when it went away: each mark is tried until it's taken."""
        for sha256 in list(self._unmarked):
            if self._l2 is None or self._l2.mark_revoked(sha256) or not self._known.is_revoked(sha256):
                self._unmarked.discard(sha256)

    def _check_in_use(self) -> None:
        now = self._monotonic()
        due = self._known.in_use(now)
        records: dict[bytes, KeyRecord | None] = {}
        if self._l2 and due:
            records = {d: r for d, r in zip(due, self._l2.get_many(due), strict=True) if r is not None}
        missing = [digest for digest in due if digest not in records]
        if missing and not self._database_away():
            try:
                found = self._ask(missing)
            except Exception:
                found = None  # they keep what they have
            if found is not None:
                records |= {digest: found.get(digest) for digest in missing}
        for digest, record in records.items():
            self._known.recheck(digest, record, now, self._now())

    def _ask(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyRecord]:
        """The database's records, which go to L2 too. Raises what the database raises."""
        try:
            found = self._rows.find_many(digests)
        except Exception:
            self._database_failed_at = self._monotonic()
            raise
        for digest, record in found.items():
            if self._l2:
                self._l2.put(digest, record)
        return found

    def _database_away(self) -> bool:
        """It failed just now, or has kept `tick` waiting for a second."""
        now, since = self._monotonic(), self._looking_since
        return now - self._database_failed_at < DATABASE_PAUSE_S or (since is not None and now - since > 1)
