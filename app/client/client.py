"""The client. One for a process, shared by its threads."""

import os
import random
import threading
import uuid
import weakref
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from sys import byteorder
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
import stamina

from app.client.buffer import Buffer
from app.client.errors import IdsError, NotReachedError, RefusedError

AnId = int | uuid.UUID
T = TypeVar("T")

MOST_IDS = 100_000
"""IDs of one request; a larger batch is several requests."""

_OCTETS = {"Accept": "application/octet-stream"}


@dataclass(frozen=True)
class Decoded:
    """What an ID says about its making; None where it says nothing. `time` has a time zone."""

    id: str
    kind: str
    algorithm: str | None = None
    time: datetime | None = None
    datacenter: int | None = None
    worker: int | None = None
    sequence: int | None = None


class IdsClient:
    """IDs from the service at `base_url`, with an API key that has the scope `issue`.

    lease_size: IDs leased at once for `next_id`; what a process doesn't use is lost when it ends.
    small_batch: the same for tags whose IDs can't be leased. attempts, patience_s: how often, and for how
    long in all, a call is tried while the service is away (429, 503, no connection). timeout_s: of one
    request. verify: True, or a file with the certificate authority to trust.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        lease_size: int = 10_000,
        small_batch: int = 100,
        attempts: int = 5,
        patience_s: float = 30.0,
        timeout_s: float = 5.0,
        prefetch_at: float = 0.1,
        verify: bool | str = True,
    ) -> None:
        self._lease_size, self._small_batch, self._prefetch_at = lease_size, small_batch, prefetch_at
        self._attempts, self._patience_s = attempts, patience_s
        self._make_http: Callable[[], httpx2.Client] = lambda: httpx2.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_s,
            verify=verify,
            trust_env=False,
        )
        self._forget()
        # A forked child has copies of the buffers: it would hand out the same IDs as its parent.
        mine = weakref.WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (forget := mine()) and forget())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give connections and threads back. IDs that are held and not used are lost."""
        self._closed = True
        self._background.shutdown(wait=True, cancel_futures=True)
        self._http.close()

    def next_id(self, tag: str) -> AnId:
        """One ID, nearly always without a request. Raises IdsError when none is held and none can be had."""
        buffer = self._buffers.get(tag)
        if buffer is None:
            with self._lock:
                if self._closed:
                    raise IdsError("this client is closed")
                buffer = self._buffers.setdefault(tag, self._new_buffer(tag))
        return buffer.next()

    def batch(self, tag: str, count: int) -> list[AnId]:
        """`count` IDs, freshly issued. Raises IdsError; then what came before the failure is lost, too."""
        if count < 1:
            raise ValueError(f"count: {count} is not allowed; allowed: 1 or more")
        got: list[AnId] = []
        while len(got) < count:
            got += self._issue(tag, min(MOST_IDS, count - len(got)))
        return got

    def decode(self, given: AnId | str) -> Decoded:
        """What an ID says. Raises RefusedError with the slug `bad-id` for other text."""
        told = self._ask("GET", f"/v1/ids/{_part(str(given))}:decode").json()
        time = told.get("time")
        rest = {key: told.get(key) for key in ("algorithm", "datacenter", "worker", "sequence")}
        return Decoded(
            id=told["id"], kind=told["kind"], time=datetime.fromisoformat(time) if time else None, **rest
        )

    def _forget(self) -> None:
        """Begin anew, holding nothing."""
        self._closed = False
        self._lock = threading.Lock()
        self._buffers: dict[str, Buffer[AnId]] = {}
        self._background = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ids-prefetch")
        self._http = self._make_http()

    def _new_buffer(self, tag: str) -> Buffer[AnId]:
        leasable = True

        def fetch() -> Sequence[Sequence[AnId]]:
            nonlocal leasable
            if leasable:
                try:
                    return self._lease(tag)
                except RefusedError as error:
                    if error.slug != "lease-not-possible":
                        raise
                    leasable = False
            return [self._issue(tag, self._small_batch)]

        return Buffer(fetch, self._background.submit, self._prefetch_at)

    def _lease(self, tag: str) -> Sequence[range]:
        answer = self._ask("POST", f"/v1/leases/{_part(tag)}", {"count": str(self._lease_size)})
        ranges = answer.json()["ranges"]
        return [range(int(one["first"]), int(one["last"]) + 1) for one in ranges]

    def _issue(self, tag: str, count: int) -> list[AnId]:
        answer = self._ask("POST", f"/v1/ids/{_part(tag)}", {"count": str(count)}, _OCTETS)
        octets = answer.content
        if answer.headers["X-Id-Kind"] == "uuid":
            return [uuid.UUID(bytes=octets[at : at + 16]) for at in range(0, len(octets), 16)]
        numbers = array("q", octets)
        if byteorder == "little":
            numbers.byteswap()
        return [*numbers]

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """The successful answer, tried again while that may help."""
        answer: httpx2.Response | None = None
        for attempt in stamina.retry_context(
            on=self._wait_s, attempts=self._attempts, timeout=self._patience_s
        ):
            with attempt:
                answer = self._ask_once(method, path, query, headers)
        assert answer is not None
        return answer

    def _ask_once(
        self, method: str, path: str, query: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> httpx2.Response:
        # Asking twice is safe: an answer that was lost on the way leaves a gap, never a repeat.
        try:
            answer = self._http.request(method, path, params=query, headers=headers)
        except httpx2.HTTPError as error:
            raise NotReachedError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.is_success:
            return answer
        raise _refused(answer)

    def _wait_s(self, error: Exception) -> bool | float:
        """Whether to try again, or after how long, as stamina asks."""
        if isinstance(error, RefusedError):
            wait_s = error.retry_after_s
            if not error.may_pass or wait_s is None:
                return error.may_pass
            # A little more each, so that clients that were refused together don't come back together.
            return wait_s * random.uniform(1, 1.2) if wait_s < self._patience_s else False
        return isinstance(error, NotReachedError)


def _refused(answer: httpx2.Response) -> IdsError:
    """The problem as an error; something else than the service may have answered, too."""
    try:
        problem: Any = answer.json()
        slug, detail = problem["type"].rsplit("/", 1)[1], problem["detail"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        slug, detail = f"http-{answer.status_code}", answer.text[:200]
    given = answer.headers.get("Retry-After", "")
    retry_after_s = float(given) if given.isascii() and given.isdigit() else None
    request_id = answer.headers.get("X-Request-Id", "")
    return RefusedError(answer.status_code, slug, detail, retry_after_s, request_id)


def _part(text: str) -> str:
    """Text as one part of a path."""
    return quote(text, safe="")
