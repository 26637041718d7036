"""A plain request for IDs answered from memory alone, as a whole HTTP answer."""

import os
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from itertools import count as counting

from app.auth.principal import Principal
from app.ids.router import Router
from app.issuing import ANSWERS
from app.observing import tracing
from app.policies import Policy
from app.server.api.issuing import accepted_form
from app.server.problems import ProblemError
from app.server.request_context import REQUEST_ID
from app.server.short_path import IssueRequest
from app.storage.tags import Tag

MOST_IDS = 10_000
"""More are encoded in a thread: the event loop must not be held up."""

SCOPE = "issue"
_BEARER = "Bearer "


class Instant:
    """None wherever anything but memory would be needed, or anything but success would be said.

    known(token), tag(workspace id, name), policy(name): from memory, None when it doesn't know now.
    served(key id): counts what was answered. ready(tag, count): the router, when it needn't wait.
    take(key id): 0 where the limit lets it in. busy(traceparent): whether the request has to be traced, or a
    fault may strike it. headers: constant ones. A snowflake still writes its reservation now and then.
    """

    def __init__(
        self,
        *,
        known: Callable[[str], Principal | None],
        served: Callable[[int], None],
        take: Callable[[int], float],
        tag: Callable[[int, str], Tag | None],
        policy: Callable[[str], Policy | None],
        ready: Callable[[Tag, int], Router | None],
        busy: Callable[[str], bool],
        observed: Callable[[str, str, float, int], None],
        headers: Mapping[str, str],
        monotonic: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._known, self._served, self._take = known, served, take
        self._tag, self._policy = tag, policy
        self._ready, self._busy, self._observed = ready, busy, observed
        self._monotonic, self._now = monotonic, now
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._constant = f"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nConnection: keep-alive\r\n{lines}".encode()
        self._head, self._head_until = b"", 0.0
        self._numbers, self._process = counting(1), os.urandom(8).hex()

    def __call__(self, request: IssueRequest) -> bytes | None:
        """The answer, or None for the long way; then nothing was counted or issued."""
        started = self._monotonic()
        try:
            count = int(request.count) if request.count.isascii() and request.count.isdigit() else 0
            if not 1 <= count <= MOST_IDS or self._busy(request.traceparent):
                return None
            form = accepted_form(request.accept)
            found = self._allowed(request, count)
            if found is None:
                return None
            principal, router = found
            if self._take(principal.key_id):
                return None
            algorithm, batch = router.batch(count)
            answer = ANSWERS[form](algorithm, batch)
        except (ProblemError, ValueError):
            return None
        except Exception:
            return None  # the long way meets it again, says it and counts it
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        head = (
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
            f"{self._context(request)}{extra}\r\n"
        )
        self._served(principal.key_id)
        self._observed(algorithm, "ok", self._monotonic() - started, count)
        return b"".join((self._dated(), head.encode(), answer.body))

    def _context(self, request: IssueRequest) -> str:
        """The request's ids: the caller's where they are well-formed, else unique ones of this process."""
        number = f"{next(self._numbers):016x}"
        request_id, trace_id = request.request_id, f"{self._process}{number}"
        if not request_id or not REQUEST_ID.fullmatch(request_id):
            request_id = trace_id
        if request.traceparent and (parent := tracing.parse(request.traceparent)):
            trace_id = parent.trace_id
        return f"X-Request-Id: {request_id}\r\ntraceparent: 00-{trace_id}-{number}-00\r\n"

    def _allowed(self, request: IssueRequest, count: int) -> tuple[Principal, Router] | None:
        authorization = request.authorization
        if not authorization.startswith(_BEARER):
            return None
        principal = self._known(authorization[len(_BEARER) :])
        if principal is None or SCOPE not in principal.scopes:
            return None
        tag = self._tag(principal.workspace_id, request.tag)
        if tag is None or not tag.config.enabled or count > tag.config.max_count:
            return None
        policy = self._policy(tag.name)
        if policy is None or not policy.enabled or count > policy.max_count:
            return None
        router = self._ready(tag, count)
        return None if router is None else (principal, router)

    def _dated(self) -> bytes:
        now = self._now()
        if now >= self._head_until or now < self._head_until - 1:
            self._head = self._constant + f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
            self._head_until = int(now) + 1
        return self._head
