"""Which request a thread works on, for the log: its request id and its trace id.

Whoever begins a request (HTTP, gRPC) sets it, and every line logged until it ends has both.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Protocol


class Request(Protocol):
    """app.server.request_context.RequestContext, or anything with these."""

    @property
    def request_id(self) -> str: ...
    @property
    def trace_id(self) -> str: ...


_CURRENT: ContextVar[Request | None] = ContextVar("request", default=None)


def begin(request: Request) -> Token[Request | None]:
    """From now on this is the request; give the token to `end`. A thread serves one after the other."""
    return _CURRENT.set(request)


def end(token: Token[Request | None]) -> None:
    """No longer."""
    _CURRENT.reset(token)


@contextmanager
def request(current: Request) -> Iterator[None]:
    """`begin` and `end` around a block."""
    token = begin(current)
    try:
        yield
    finally:
        end(token)


def ids() -> tuple[str, str]:
    """(request id, trace id) of the request, as the audit log wants them; empty outside of one."""
    current = _CURRENT.get()
    return (current.request_id, current.trace_id) if current is not None else ("", "")


def add_to_log(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor. What the line says itself goes first."""
    current = _CURRENT.get()
    if current is not None:
        event.setdefault("request_id", current.request_id)
        event.setdefault("trace_id", current.trace_id)
    return event
