"""The downstream policy service, as its client sees it: may this tag issue, and how many at once.

Asked at most every few seconds per tag; while it is away the last known policy, or the default, applies:
IDs don't depend on it. A fault makes a request ask past the cache, and then its answer counts.
"""

import threading
from collections.abc import Callable

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from app.observing import tracing
from app.tag_config import MOST_IDS

FRESH_S = 5.0
CACHED_TIMEOUT_S = 0.5
DIRECT_TIMEOUT_S = 12.0
FAULT_HEADER = "X-Plumbline-Fault"


class Policy(BaseModel):
    """What a tag is allowed."""

    model_config = ConfigDict(frozen=True)

    enabled: bool = True
    max_count: int = Field(default=MOST_IDS, ge=1)


class DependencyFailedError(Exception):
    """The policy service didn't give a usable answer."""


class Policies:
    """Thread-safe client; make one per process, after any fork."""

    def __init__(self, url: str, monotonic: Callable[[], float], failed: Callable[[str], None]) -> None:
        self._client = httpx2.Client(base_url=url, timeout=DIRECT_TIMEOUT_S, trust_env=False)
        base = self._client.base_url
        self._server: dict[str, str | int] = {"server.address": base.host, "server.port": base.port or 80}
        self._monotonic, self._failed = monotonic, failed
        self._cache: dict[str, tuple[float, Policy]] = {}
        self._lock = threading.Lock()

    def of(self, tag: str) -> Policy:
        """The tag's policy from the cache; refreshed by one caller when stale. Never raises."""
        now = self._monotonic()
        hit = self._cache.get(tag)
        if hit and now - hit[0] < FRESH_S:
            return hit[1]
        with self._lock:
            hit = self._cache.get(tag)
            if hit and now - hit[0] < FRESH_S:
                return hit[1]
            policy = hit[1] if hit else Policy()
            # Marked fresh before asking: the others go on at once, and an outage is met once per FRESH_S.
            self._cache[tag] = (now, policy)
        try:
            policy = self._ask(tag, {}, CACHED_TIMEOUT_S)
        except DependencyFailedError as error:
            self._failed(str(error))
        self._cache[tag] = (now, policy)
        return policy

    def fresh(self, tag: str) -> Policy | None:
        """The policy from the cache; None when `of` would have to ask."""
        hit = self._cache.get(tag)
        return hit[1] if hit and self._monotonic() - hit[0] < FRESH_S else None

    def ask(self, tag: str, fault: str, timeout_s: float = DIRECT_TIMEOUT_S) -> Policy:
        """Past the cache, with a fault asked for: `error`, `slow;delay_s=0.8` or `timeout`."""
        return self._ask(tag, {FAULT_HEADER: fault}, timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, tag: str, headers: dict[str, str], timeout_s: float) -> Policy:
        path = f"/v1/policies/{tag}"
        with tracing.client_span(
            "GET", {"http.request.method": "GET", **self._server, "url.path": path}
        ) as span:
            try:
                response = self._client.get(path, headers=headers | span.headers(), timeout=timeout_s)
                span.set("http.response.status_code", response.status_code)
                response.raise_for_status()
                return Policy.model_validate_json(response.content)
            except (httpx2.HTTPError, ValueError) as error:
                raise DependencyFailedError(f"policy service: {error}") from error
