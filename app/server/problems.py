"""Errors in the shape of RFC 9457: type, title, status, detail, and which request it was."""

from http import HTTPStatus

import orjson

from app.server.problem_kinds import KINDS
from app.server.request_context import RequestContext

MOST_ECHOED = 40
"""Characters of the caller's input that an error repeats at most."""

LONGEST_WAIT_S = 3600.0
"""Nobody is told to come back later than this, even where a limit never lets them in."""

PROBLEM_JSON = "application/problem+json"


class ProblemError(Exception):
    """An answer other than success. `slug` names its documented kind (problem_kinds.KINDS)."""

    def __init__(
        self, status: HTTPStatus, slug: str, detail: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.detail, self.retry_after_s = status, slug, detail, retry_after_s


def of(slug: str, detail: str, retry_after_s: float | None = None) -> ProblemError:
    """The problem of a documented kind, with the kind's status. Raises KeyError for another."""
    return ProblemError(KINDS[slug].status, slug, detail, retry_after_s)


def shown(value: object) -> str:
    """The caller's value as an error repeats it: as Python writes it, 40 characters of it at most."""
    # Cut before it's written out, so that a huge value costs nothing.
    text = repr(value[:MOST_ECHOED] if isinstance(value, str | bytes) else value)
    return text if len(text) <= MOST_ECHOED else f"{text[: MOST_ECHOED - 3]}..."


def bad_request(key: str, value: object, allowed: str) -> ProblemError:
    """A value of the query, the path or the body. `allowed`: in words, what would have been right."""
    return of("bad-request", f"{key[:MOST_ECHOED]}: {shown(value)} is not allowed; allowed: {allowed}")


def bad_count(given: object, most: int) -> ProblemError:
    """`count` is not a number in range."""
    return of("bad-count", f"count: {shown(given)} is not allowed; allowed: a whole number from 1 to {most}")


def unknown_tag(tag: str) -> ProblemError:
    """No tag of this name."""
    return of("unknown-tag", f"tag: {shown(tag)} does not exist")


def tag_disabled(tag: str) -> ProblemError:
    """Configuration or policy forbids this tag."""
    return of("tag-disabled", f"tag: {shown(tag)} is disabled")


def unavailable(slug: str, detail: str, retry_after_s: float = 1) -> ProblemError:
    """Not now; a later try may work."""
    return of(slug, detail, retry_after_s)


def rate_limited(wait_s: float) -> ProblemError:
    """The key is over its limit for `wait_s` seconds."""
    return of("rate-limited", "the key is over its limit of requests", min(wait_s, LONGEST_WAIT_S))


def internal() -> ProblemError:
    """A mistake of ours."""
    return of("internal-error", "the service failed; see its log")


def body_of(problem: ProblemError, context: RequestContext) -> bytes:
    """The problem as the octets of application/problem+json."""
    kind = KINDS.get(problem.slug)
    return orjson.dumps({
        "type": f"/problems/{problem.slug}",
        "title": kind.title if kind else problem.slug.replace("-", " ").capitalize(),
        "status": int(problem.status),
        "detail": problem.detail,
        "request_id": context.request_id,
        "trace_id": context.trace_id,
    })  # fmt: skip


def headers_of(problem: ProblemError) -> dict[str, str]:
    """What RFC 9110 wants beside the status: when to come back, how to authenticate."""
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, -int(-problem.retry_after_s // 1)))  # whole seconds, rounded up
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="plumbline"'
    return headers
