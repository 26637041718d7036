"""How often each API key is used, as one event per key and minute instead of one per request."""

import threading
from collections.abc import Callable, Collection, Mapping

MINUTE_S = 60.0


class KeyUse:
    """Give `used` to the key directory's `on_used`, and `flush` to the audit log's `each_second`.

    record: the audit seam. wall_s: seconds since 1970. owners(key ids): (workspace id, name) of each; when it
    raises, the counts wait for the next call.
    """

    def __init__(
        self,
        record: Callable[..., None],
        wall_s: Callable[[], float],
        owners: Callable[[Collection[int]], Mapping[int, tuple[int, str]]],
    ) -> None:
        self._record, self._wall_s, self._owners = record, wall_s, owners
        self._counts: dict[int, dict[int, int]] = {}
        self._lock = threading.Lock()

    def used(self, uses: Mapping[int, int]) -> None:
        """Count requests by the id of the key that they were authenticated with."""
        minute = int(self._wall_s() // MINUTE_S)
        with self._lock:
            counts = self._counts.setdefault(minute, {})
            for key_id, requests in uses.items():
                counts[key_id] = counts.get(key_id, 0) + requests

    def flush(self, last: bool = False) -> None:
        """Record the minutes that are over, or all when it is the `last` call."""
        now = int(self._wall_s() // MINUTE_S)
        with self._lock:
            over = {
                minute: self._counts.pop(minute) for minute in sorted(self._counts) if last or minute < now
            }
        if not over:
            return
        try:
            owners = self._owners({key_id for counts in over.values() for key_id in counts})
        except Exception:
            if not last:
                with self._lock:
                    for minute, counts in over.items():
                        waiting = self._counts.setdefault(minute, {})
                        for key_id, requests in counts.items():
                            waiting[key_id] = waiting.get(key_id, 0) + requests
                return
            owners = {}  # without its workspace an event is better than none
        for minute, counts in over.items():
            for key_id, requests in sorted(counts.items()):
                workspace_id, name = owners.get(key_id, (None, ""))
                self._record(
                    "key.used",
                    f"key/{key_id}",
                    "ok",
                    workspace_id=workspace_id,
                    actor=f"key/{key_id}:{name}",
                    detail={"requests": requests, "minute": int(minute * MINUTE_S)},
                )
