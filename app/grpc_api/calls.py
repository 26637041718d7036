"""What each call does, for whichever server carries it: messages and metadata in, messages out.

A call that can't be served raises `Refusal`; a stream answers a refused batch with a `Problem` and goes on,
except when the key itself no longer holds.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc

from app.grpc_api import refusals
from app.grpc_api.ids_pb2 import (
    Block,
    DecodeRequest,
    DecodeResponse,
    GenerateReply,
    GenerateRequest,
    GenerateResponse,
    LeaseRequest,
    LeaseResponse,
    Problem,
)
from app.grpc_api.refusals import Refusal
from app.server.problems import ProblemError

T = TypeVar("T")
CallMetadata = Iterable[tuple[str, str | bytes]]
_BEARER = "bearer "
_DECODED = tuple(DecodeResponse.DESCRIPTOR.fields_by_name)
_OURS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

METHODS = ("Generate", "GenerateStream", "Lease", "Decode")
"""For whoever counts: every method that `counted` is told of."""


Caller = Any
"""Whose key it is: what `admit` gave, handed on to `draw`, `lease` and `decode`."""


class Drawn(Protocol):
    """IDs; `app.ids.model.Batch`."""

    @property
    def blocks(self) -> tuple[range, ...]: ...
    @property
    def uuids(self) -> bytes: ...


@dataclass(frozen=True)
class Services:
    """What the calls are made of. Each may raise ProblemError.

    admit(token or None, scope) -> the caller, if the key has the scope and is within its limit
    (`Admission.admit`). draw(caller, tag, count) and lease(caller, tag, count or None) -> (algorithm, IDs).
    decode(caller, id, tag or "") -> DecodeResponse's fields by name; others are left out. `Issuing` has these
    three. not_ready_because() -> None when ready. counted(method, outcome, seconds) is told of each call, and
    of each batch of a stream; outcome: ok, refused (the caller's mistake) or error. failed(method, error) is
    told of each mistake of ours.
    """

    admit: Callable[[str | None, str], Caller]
    draw: Callable[[Caller, str, int], tuple[str, Drawn]]
    lease: Callable[[Caller, str, int | None], tuple[str, Drawn]]
    decode: Callable[[Caller, str, str], Mapping[str, Any]]
    not_ready_because: Callable[[], str | None]
    counted: Callable[[str, str, float], None] = lambda method, outcome, seconds: None
    failed: Callable[[str, Exception], None] = lambda method, error: None


class Calls:
    """The four calls. remaining_s: until the caller's deadline; None without one."""

    def __init__(self, services: Services, monotonic: Callable[[], float] = time.perf_counter) -> None:
        self.services, self._monotonic = services, monotonic

    def generate(
        self, request: GenerateRequest, metadata: CallMetadata, remaining_s: float | None
    ) -> GenerateResponse:
        """New IDs."""
        return self._call("Generate", metadata, remaining_s, lambda caller: self._generate(caller, request))

    def generate_in_stream(
        self, request: GenerateRequest, metadata: CallMetadata, remaining_s: float | None
    ) -> GenerateReply:
        """One batch of a stream. Raises Refusal only when the stream must end.

        Key and limit are asked for each batch, so that a revoked key ends a stream that is open for hours.
        """
        try:
            drawn = self._call(
                "GenerateStream", metadata, remaining_s, lambda caller: self._generate(caller, request)
            )
        except Refusal as refusal:
            if refusal.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            return GenerateReply(problem=_in_band(refusal))
        return GenerateReply(ids=drawn)

    def lease(
        self, request: LeaseRequest, metadata: CallMetadata, remaining_s: float | None
    ) -> LeaseResponse:
        """A range for the caller alone."""

        def work(caller: Caller) -> LeaseResponse:
            count = request.count if request.HasField("count") else None
            algorithm, drawn = self.services.lease(caller, request.tag, count)
            return LeaseResponse(blocks=_blocks(drawn), algorithm=algorithm)

        return self._call("Lease", metadata, remaining_s, work)

    def decode(
        self, request: DecodeRequest, metadata: CallMetadata, remaining_s: float | None
    ) -> DecodeResponse:
        """What an ID says."""

        def work(caller: Caller) -> DecodeResponse:
            fields = self.services.decode(caller, request.id, request.tag)
            return DecodeResponse(**{name: fields[name] for name in _DECODED if name in fields})

        return self._call("Decode", metadata, remaining_s, work)

    def _generate(self, caller: Caller, request: GenerateRequest) -> GenerateResponse:
        count = request.count if request.HasField("count") else 1
        algorithm, drawn = self.services.draw(caller, request.tag, count)
        return GenerateResponse(blocks=_blocks(drawn), uuids=drawn.uuids, algorithm=algorithm)

    def _call(
        self,
        method: str,
        metadata: CallMetadata,
        remaining_s: float | None,
        work: Callable[[Caller], T],
    ) -> T:
        """Check the deadline, the key and its limit, then work; count the call, however it ends."""
        started, outcome = self._monotonic(), "error"
        try:
            # A call that waited for a thread longer than its caller does would only waste IDs.
            if remaining_s is not None and remaining_s <= 0:
                raise refusals.too_late()
            answer = work(self.services.admit(_token(metadata), "issue"))
            outcome = "ok"
            return answer
        except ProblemError as problem:
            refusal = refusals.of_problem(problem)
            outcome = _outcome(refusal)
            raise refusal from problem
        except Refusal as refusal:
            outcome = _outcome(refusal)
            raise
        except Exception as error:
            self.services.failed(method, error)
            raise refusals.internal() from error
        finally:
            self.services.counted(method, outcome, self._monotonic() - started)


def _outcome(refusal: Refusal) -> str:
    return "error" if refusal.code in _OURS else "refused"


def _token(metadata: CallMetadata) -> str | None:
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str) and value[:7].lower() == _BEARER:
            return value[7:].strip() or None
    return None


def _blocks(drawn: Drawn) -> list[Block]:
    return [Block(first=block.start, more=len(block) - 1) for block in drawn.blocks]


def _in_band(refusal: Refusal) -> Problem:
    code: int = refusal.code.value[0]
    wait_ms = round(refusal.retry_after_s * 1_000)
    return Problem(slug=refusal.slug, detail=refusal.detail, code=code, retry_after_ms=wait_ms)
