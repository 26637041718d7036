"""One trace through the service: request, algorithm, Postgres, Redis, the policy service.

Spans go to an OTLP/HTTP collector in batches. Whether a request is traced is decided once, when it begins:
as its caller's traceparent says, else by a draw. Where it isn't, `span` finds nothing in the thread's context
and returns at once, so that the parts needn't know whether there is tracing at all. Attributes have the names
of OpenTelemetry's semantic conventions.
"""

import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import NamedTuple

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

EXPORT_TIMEOUT_S = 2.0
MOST_PER_S = 1_000.0
EXPORT_EVERY_MS = 1_000
MOST_QUEUED = 4_096
LONGEST_ATTRIBUTE = 2_048
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Parent(NamedTuple):
    """What a traceparent says."""

    trace_id: str
    span_id: str
    sampled: bool


def parse(traceparent: str | None) -> Parent | None:
    """The caller's span; None without a well-formed one (W3C Trace Context, version 00)."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if not match or match[1] == "0" * 32 or match[2] == "0" * 16:
        return None
    return Parent(match[1], match[2], bool(int(match[3], 16) & 1))


class Nothing:
    """The span of a request that isn't traced."""

    def set(self, key: str, value: Value) -> None:
        """Nothing."""

    def headers(self) -> dict[str, str]:
        """No header."""
        return {}

    def failed(self, kind: str) -> None:
        """Nothing."""

    def __enter__(self) -> "Nothing":
        return self

    def __exit__(self, *error: object) -> None:
        return None


NOTHING = Nothing()


class Span:
    """A running span. As a context manager it's the parent of those begun inside, in the same thread."""

    __slots__ = ("_sdk", "_token", "_tracer", "root")

    def __init__(self, tracer: Tracer, sdk: SdkSpan, root: "Span | None") -> None:
        self._tracer, self._sdk = tracer, sdk
        self.root: Span = root or self
        self._token: Token[Span | None] | None = None

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._sdk.get_span_context().span_id:016x}"

    def child(self, name: str, kind: SpanKind, attributes: Attributes | None) -> "Span":
        """A span inside this one."""
        context = set_span_in_context(self._sdk, Context())
        return Span(
            self._tracer,
            self._tracer.start_span(name, context, kind, attributes),  # type: ignore[arg-type]
            self.root,
        )

    def set(self, key: str, value: Value) -> None:
        """Give the span an attribute."""
        self._sdk.set_attribute(key, value)

    def add(self, key: str, value: str) -> None:
        """Add a value to those that an attribute has, separated by commas."""
        known = (self._sdk.attributes or {}).get(key)
        self._sdk.set_attribute(key, f"{known},{value}" if known else value)

    def headers(self) -> dict[str, str]:
        """What a service that is called needs to continue the trace."""
        context = self._sdk.get_span_context()
        return {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-01"}

    def failed(self, kind: str) -> None:
        """Mark the span as failed; kind: a status, a code or an exception's name."""
        self._sdk.set_attribute("error.type", kind)
        self._sdk.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """The span's work is done."""
        self._sdk.end()

    def __enter__(self) -> "Span":
        self._token = _CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _CURRENT.reset(self._token)
        if kind is not None:
            self.failed(kind.__qualname__)
        self.end()


_CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)


def span(name: str, attributes: Attributes | None = None) -> "Span | Nothing":
    """A span for a part of the work of the request under way: `with span("router"): ...`."""
    current = _CURRENT.get()
    return NOTHING if current is None else current.child(name, SpanKind.INTERNAL, attributes)


def client_span(name: str, attributes: Attributes | None = None) -> "Span | Nothing":
    """A span for a call to another service."""
    current = _CURRENT.get()
    return NOTHING if current is None else current.child(name, SpanKind.CLIENT, attributes)


def fault_span(name: str, attributes: Attributes) -> "Span | Nothing":
    """A span around an injected fault, which also marks the request's own span."""
    current = _CURRENT.get()
    if current is None:
        return NOTHING
    for key, value in attributes.items():
        current.root.add(key, str(value))
    return current.child(name, SpanKind.INTERNAL, attributes)


def traced() -> bool:
    """Whether the request under way is."""
    return _CURRENT.get() is not None


class _Ids(RandomIdGenerator):
    """Lets a new trace have the id that the request's answer and log lines have."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def plan(self, trace_id: str) -> None:
        self._of_thread.trace_id = int(trace_id, 16)

    def generate_trace_id(self) -> int:
        return getattr(self._of_thread, "trace_id", 0) or super().generate_trace_id()


class Tracing:
    """One for each process, made after any fork. share: of the requests that come without a decision, and no
    more than most_per_s of them: what tracing costs doesn't grow with the load."""

    def __init__(
        self,
        processor: SpanProcessor,
        *,
        share: float,
        resource: Attributes,
        most_per_s: float = MOST_PER_S,
        draw: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._draw, self._ids = share, draw, _Ids()
        self._most_per_s, self._monotonic, self._full_at = most_per_s, monotonic, 0.0
        self._owed = 0
        self._lock = threading.Lock()
        self._provider = TracerProvider(
            # Every span that is begun at all is kept: the decision is made before.
            sampler=ALWAYS_ON,
            resource=Resource.create(dict(resource)),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_attribute_length=LONGEST_ATTRIBUTE),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("plumbline")

    def begin(
        self, name: str, traceparent: str | None, trace_id: str, attributes: Attributes
    ) -> "Span | None":
        """The request's own span, or None when it isn't traced.

        traceparent: as the caller sent it. trace_id: 32 hexadecimal digits, for a request without one.
        """
        parent = parse(traceparent)
        if not (parent.sampled if parent else self._drawn()):
            return None
        context = Context()
        if parent:
            remote = SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(TraceFlags.SAMPLED)
            )
            context = set_span_in_context(NonRecordingSpan(remote), context)
        else:
            self._ids.plan(trace_id)
        sdk = self._tracer.start_span(name, context, SpanKind.SERVER, attributes)
        return Span(self._tracer, sdk, None)  # type: ignore[arg-type]

    def takes_long_way(self, traceparent: str) -> bool:
        """Whether a request that could be answered without spans has to have them. Its own `begin`, or
        another's, then finds the draw made."""
        parent = parse(traceparent)
        if parent:
            return parent.sampled
        if not self._chosen():
            return False
        with self._lock:
            self._owed += 1
        return True

    def stop(self) -> None:
        """Send what is queued; takes EXPORT_TIMEOUT_S at most when the collector is away."""
        self._provider.shutdown()

    def _drawn(self) -> bool:
        if self._owed:
            with self._lock:
                if self._owed:
                    self._owed -= 1
                    return True
        return self._chosen()

    def _chosen(self) -> bool:
        """The draw, within what a process may trace a second, with a second's worth at once."""
        if self._draw() >= self._share:
            return False
        now = self._monotonic()
        with self._lock:
            if self._full_at > now + 1:
                return False
            self._full_at = max(self._full_at, now) + 1 / self._most_per_s
            return True


def start(
    otlp_url: str | None,
    *,
    share: float,
    version: str,
    slot: str,
    process: int,
    most_per_s: float = MOST_PER_S,
) -> "Tracing | None":
    """Tracing to a collector, such as http://collector:4318; None without. process: of the instance id."""
    if otlp_url is None:
        return None
    session = requests.Session()
    session.trust_env = False  # a proxy of the environment is not for a collector in the same network
    exporter = OTLPSpanExporter(endpoint=endpoint(otlp_url), timeout=EXPORT_TIMEOUT_S, session=session)
    processor = BatchSpanProcessor(
        exporter, max_queue_size=MOST_QUEUED, schedule_delay_millis=EXPORT_EVERY_MS
    )
    resource: dict[str, Value] = {
        "service.name": "plumbline",
        "service.version": version,
        "service.instance.id": f"{socket.gethostname()}-{slot}-{process}",
        "plumbline.slot": slot,
    }
    return Tracing(processor, share=share, resource=resource, most_per_s=most_per_s)


def endpoint(otlp_url: str) -> str:
    """Where spans are posted: a URL without a path gets the one that OTLP/HTTP defines."""
    scheme, _, rest = otlp_url.partition("://")
    host, _, path = rest.partition("/")
    return otlp_url if path else f"{scheme}://{host}/v1/traces"
