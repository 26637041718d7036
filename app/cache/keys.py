"""What is known of API keys, shared by all processes, under `key:{SHA-256 as hex}`. No value holds a key.

A revoked key leaves a mark that no older knowledge can replace: values are stored only where none is, and
the mark outlives each of them. So a process that read the database just before the revocation, and stores
what it read just after it, changes nothing.
"""

from collections.abc import Sequence

import orjson

from app.auth.principal import KeyRecord, Principal
from app.cache.connect import Cache

TTL_S = 600.0
MARK_S = TTL_S + 60
HOLD_S = 10.0
"""How long nothing is stored of a key that has changed: longer than any reading of the database takes."""

_HOLD = b"{}"


def key(sha256: bytes) -> str:
    """Where a key's value is."""
    return f"key:{sha256.hex()}"


class KeyCache:
    """Key records by SHA-256 (32 octets). Nothing here raises."""

    def __init__(self, cache: Cache, *, ttl_s: float = TTL_S) -> None:
        self._cache, self._ttl_s = cache, ttl_s

    def get(self, sha256: bytes) -> KeyRecord | None:
        """The record; None when Redis doesn't have it or is away."""
        return _read(self._cache.get(key(sha256)))

    def get_many(self, sha256s: Sequence[bytes]) -> list[KeyRecord | None]:
        """The records in that order, None as in `get`."""
        return [_read(text) for text in self._cache.get_many([key(sha256) for sha256 in sha256s])]

    def put(self, sha256: bytes, record: KeyRecord) -> bool:
        """Store what the database said, unless something is stored already; whether it was."""
        if record.revoked:
            return self.mark_revoked(sha256, record)
        return self._cache.put_new(key(sha256), _written(record), self._ttl_s)

    def mark_revoked(self, sha256: bytes, record: KeyRecord | None = None) -> bool:
        """Replace whatever is stored by "revoked"; whether Redis took it."""
        nobody = Principal(0, 0, "", frozenset(), "")
        principal = record.principal if record else nobody
        return self._cache.put(key(sha256), _written(KeyRecord(principal, revoked=True)), MARK_S)

    def hold(self, sha256: bytes) -> bool:
        """Forget a key that has changed, and store nothing of it for a moment; whether Redis took it."""
        return self._cache.put(key(sha256), _HOLD, HOLD_S)


def _written(record: KeyRecord) -> bytes:
    who = record.principal
    return orjson.dumps(
        {
            "id": who.key_id,
            "workspace_id": who.workspace_id,
            "workspace": who.workspace,
            "scopes": sorted(who.scopes),
            "name": who.name,
            "expires_at": record.expires_at,
            "revoked": record.revoked,
        }
    )


def _read(text: bytes | None) -> KeyRecord | None:
    if text is None or text == _HOLD:
        return None
    try:
        told = orjson.loads(text)
        principal = Principal(
            told["id"],
            told["workspace_id"],
            told["workspace"],
            frozenset(told["scopes"]),
            told["name"],
        )
        return KeyRecord(principal, told["expires_at"], told["revoked"])
    except (ValueError, TypeError, KeyError):  # of another version of the service, or not ours
        return None
