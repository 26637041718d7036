"""Which request this is: its id, and the trace that it belongs to (W3C Trace Context).

Framework-free: it works on a WSGI environ, where the result is kept for the rest of the request.
"""

import os
import re
from typing import Any, NamedTuple

_KEY = "plumbline.context"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


class RequestContext(NamedTuple):
    """trace_id: 32 hexadecimal digits; span_id: 16, this server's part; flags: 2, 01 = sampled."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str

    @property
    def traceparent(self) -> str:
        """The header that tells others of this request's part of the trace."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def of(environ: dict[str, Any]) -> RequestContext:
    """The request's context: the caller's ids where they are well-formed, else new ones."""
    known: RequestContext | None = environ.get(_KEY)
    if known is not None:
        return known
    new = os.urandom(40).hex()
    request_id = environ.get("HTTP_X_REQUEST_ID")
    if request_id is None or not REQUEST_ID.fullmatch(request_id):
        request_id = new[:32]
    trace_id, flags = new[32:64], "00"
    given = environ.get("HTTP_TRACEPARENT")
    # An id of zeros only means "no trace".
    if given and (match := _TRACEPARENT.fullmatch(given)) and match[1] != "0" * 32:
        trace_id, flags = match[1], match[3]
    return put(environ, RequestContext(request_id, trace_id, new[64:], flags))


def put(environ: dict[str, Any], context: RequestContext) -> RequestContext:
    """Make `context` the request's: a tracer does so with its own span and its decision to sample."""
    environ[_KEY] = context
    return context
