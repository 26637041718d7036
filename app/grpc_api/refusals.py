"""How a problem of the HTTP API looks in gRPC: a status code, and the problem's slug in the metadata."""

import math
from dataclasses import dataclass

import grpc

from app.server.problems import ProblemError

Metadata = tuple[tuple[str, str], ...]

PROBLEM_KEY = "problem"
RETRY_AFTER_KEY = "retry-after"
PUSHBACK_KEY = "grpc-retry-pushback-ms"  # gRPC's own clients wait this long before they retry

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@dataclass(eq=False)
class Refusal(Exception):
    """A call that ends with a status other than OK. retry_after_s 0: trying again doesn't help."""

    code: grpc.StatusCode
    slug: str
    detail: str
    retry_after_s: float = 0.0

    @property
    def metadata(self) -> Metadata:
        """The trailing metadata that tells the caller what `code` can't."""
        found: Metadata = ((PROBLEM_KEY, self.slug),)
        if self.retry_after_s > 0:
            # Whole seconds, rounded up, as HTTP's Retry-After has them.
            found += ((RETRY_AFTER_KEY, str(math.ceil(self.retry_after_s))),)
            found += ((PUSHBACK_KEY, str(math.ceil(self.retry_after_s * 1_000))),)
        return found


def of_problem(problem: ProblemError) -> Refusal:
    """The same refusal. A status that has no counterpart is an error of ours, or of the caller's."""
    status = int(problem.status)
    other = grpc.StatusCode.INTERNAL if status >= 500 else grpc.StatusCode.FAILED_PRECONDITION
    return Refusal(_CODES.get(status, other), problem.slug, problem.detail, problem.retry_after_s or 0.0)


def internal() -> Refusal:
    """A mistake of ours; its cause is in the log, not in the answer."""
    return Refusal(grpc.StatusCode.INTERNAL, "internal-error", "the service failed; see its log")


def too_late() -> Refusal:
    """The caller's deadline passed before anything was drawn."""
    return Refusal(
        grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded", "the deadline passed; nothing was issued"
    )
