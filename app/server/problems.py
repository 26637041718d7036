"""Errors in the shape of RFC 9457: type, title, status, detail."""

from http import HTTPStatus

import orjson
from flask import Response
from werkzeug.exceptions import HTTPException


class ProblemError(Exception):
    """An answer other than success. `slug` names its documented kind."""

    def __init__(self, status: HTTPStatus, slug: str, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.slug, self.detail, self.retry_after_s = status, slug, detail, retry_after_s


def bad_count(given: str) -> ProblemError:
    """`count` is not a number in range."""
    detail = f"count: {given[:40]!r} is not allowed; allowed: a whole number from 1 to 1000"
    return ProblemError(HTTPStatus.BAD_REQUEST, "bad-count", detail)


def over_policy(count: int, most: int) -> ProblemError:
    """`count` is more than the tag's policy allows."""
    detail = f"count: {count} is not allowed for this tag; allowed: 1 to {most}"
    return ProblemError(HTTPStatus.BAD_REQUEST, "bad-count", detail)


def unknown_tag(tag: str) -> ProblemError:
    """No tag of this name."""
    return ProblemError(HTTPStatus.NOT_FOUND, "unknown-tag", f"tag: {tag[:64]!r} does not exist")


def tag_disabled(tag: str) -> ProblemError:
    """The policy forbids this tag."""
    return ProblemError(HTTPStatus.FORBIDDEN, "tag-disabled", f"tag: {tag!r} is disabled by policy")


def unavailable(slug: str, detail: str) -> ProblemError:
    """Not now; a later try may work."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, slug, detail, retry_after_s=1)


def internal() -> ProblemError:
    """A mistake of ours."""
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "the service failed; see its log")


def as_response(problem: ProblemError) -> Response:
    """The problem as application/problem+json."""
    body = {
        "type": f"/problems/{problem.slug}",
        "title": problem.slug.replace("-", " ").capitalize(),
        "status": int(problem.status),
        "detail": problem.detail,
    }
    response = Response(orjson.dumps(body), problem.status, content_type="application/problem+json")
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def of_http(error: HTTPException) -> ProblemError:
    """Flask's own refusals (no such path, wrong method) in the same shape."""
    status = HTTPStatus(error.code or 500)
    return ProblemError(status, status.phrase.lower().replace(" ", "-"), error.description or status.phrase)
