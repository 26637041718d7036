"""How often each API key is used, as one event per key and minute instead of one per request."""

import threading
from collections.abc import Callable

MINUTE_S = 60.0


class KeyUse:
    """`used` costs a dictionary's update. Give `flush` to the audit log's `each_second`.

    `record` is the audit seam; `wall_s` gives seconds since 1970.
    """

    def __init__(self, record: Callable[..., None], wall_s: Callable[[], float]) -> None:
        self._record, self._wall_s = record, wall_s
        self._counts: dict[tuple[int, int, str], int] = {}
        self._minute = 0
        self._lock = threading.Lock()

    def used(self, workspace_id: int, key_id: int, name: str, requests: int = 1) -> None:
        """Count requests that were authenticated with a key."""
        key = (workspace_id, key_id, name)
        with self._lock:
            if not self._counts:
                self._minute = int(self._wall_s() // MINUTE_S)
            self._counts[key] = self._counts.get(key, 0) + requests

    def flush(self, last: bool = False) -> None:
        """Record the minute's counts once the minute is over, or at once when it is the `last` call."""
        with self._lock:
            over = int(self._wall_s() // MINUTE_S) != self._minute
            if not self._counts or not (over or last):
                return
            counts, self._counts = self._counts, {}
            minute = self._minute
        for (workspace_id, key_id, name), requests in sorted(counts.items()):
            self._record(
                "key.used",
                f"key/{key_id}",
                "ok",
                workspace_id=workspace_id,
                actor=f"key:{name}",
                detail={"requests": requests, "minute": int(minute * MINUTE_S)},
            )
