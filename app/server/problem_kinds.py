"""Every kind of problem that the service answers with. The key is its slug: `type` is /problems/SLUG.

Served under GET /problems and /problems/SLUG, and listed per operation in the OpenAPI document.
"""

from http import HTTPStatus
from typing import NamedTuple


class ProblemKind(NamedTuple):
    """meaning: what happened, what it means for the caller, and what to do, in one or two sentences."""

    status: HTTPStatus
    title: str
    meaning: str


KINDS: dict[str, ProblemKind] = {
    # What the caller sent
    "bad-request": ProblemKind(
        HTTPStatus.BAD_REQUEST,
        "A value is not allowed",
        "A key of the query or of the body is missing, unknown or out of range. The detail names the key, "
        "its value and what is allowed. Nothing was changed.",
    ),
    "bad-count": ProblemKind(
        HTTPStatus.BAD_REQUEST,
        "The count is not allowed",
        "`count` is not a whole number in the range that the detail gives. No ID was issued.",
    ),
    "bad-id": ProblemKind(
        HTTPStatus.BAD_REQUEST,
        "Not an ID of this service",
        "The text is neither a decimal number from 0 to 2^63 - 1 nor a UUID (8-4-4-4-12 hexadecimal digits).",
    ),
    "malformed-json": ProblemKind(
        HTTPStatus.BAD_REQUEST,
        "The body is not JSON",
        "The body can't be read as JSON; the detail says where reading ended. Nothing was changed.",
    ),
    "body-too-large": ProblemKind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body is too large",
        "A body may have 1 MiB at most. It was not read, and nothing was changed.",
    ),
    "unsupported-media-type": ProblemKind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body's type is not understood",
        "This operation takes a body of type application/json only.",
    ),
    "not-acceptable": ProblemKind(
        HTTPStatus.NOT_ACCEPTABLE,
        "No accepted form of the answer exists",
        "None of the types in the Accept header can be given; the detail lists those that can. "
        "No ID was issued.",
    ),
    "not-found": ProblemKind(
        HTTPStatus.NOT_FOUND, "Nothing is here", "The path, or the thing that it names, does not exist."
    ),
    "method-not-allowed": ProblemKind(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The method is not allowed here",
        "The path exists, but not with this method. The Allow header lists the methods that it has.",
    ),
    # Who the caller is
    "key-missing": ProblemKind(
        HTTPStatus.UNAUTHORIZED,
        "An API key is needed",
        "The request has no `Authorization: Bearer plk_...` header.",
    ),
    "key-unknown": ProblemKind(
        HTTPStatus.UNAUTHORIZED, "The API key is wrong", "No such key exists. Look for a copying mistake."
    ),
    "key-revoked": ProblemKind(
        HTTPStatus.UNAUTHORIZED,
        "The API key is revoked",
        "The key was valid once and was revoked. Ask the workspace's administrator for another.",
    ),
    "key-expired": ProblemKind(
        HTTPStatus.UNAUTHORIZED,
        "The API key is expired",
        "The key's time is over. Ask the workspace's administrator for another.",
    ),
    "scope-missing": ProblemKind(
        HTTPStatus.FORBIDDEN,
        "The API key does not allow this",
        "The key is valid, but it lacks the scope that the detail names.",
    ),
    "rate-limited": ProblemKind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many requests",
        "The key is over its limit. Nothing was done; try again after the seconds in Retry-After.",
    ),
    # Tags
    "unknown-tag": ProblemKind(
        HTTPStatus.NOT_FOUND, "The tag does not exist", "The key's workspace has no tag of this name."
    ),
    "tag-disabled": ProblemKind(
        HTTPStatus.FORBIDDEN,
        "The tag is disabled",
        "The tag exists, but its configuration or its policy forbids issuing. No ID was issued.",
    ),
    "tag-exhausted": ProblemKind(
        HTTPStatus.CONFLICT,
        "The tag's maximum is reached",
        "All IDs up to the tag's maximum are issued, and no other algorithm may stand in. "
        "Trying again does not help: raise `max_id` or use another tag. No ID was issued.",
    ),
    "lease-not-possible": ProblemKind(
        HTTPStatus.CONFLICT,
        "The tag's IDs can't be leased",
        "Only a tag of the algorithm `segment` has ranges that a client can consume by itself. "
        "Nothing was issued.",
    ),
    # Administration
    "already-exists": ProblemKind(
        HTTPStatus.CONFLICT,
        "The name is taken",
        "A thing of this kind has this name already. Nothing was changed; choose another name.",
    ),
    "not-empty": ProblemKind(
        HTTPStatus.CONFLICT,
        "It can't be removed now",
        "Other things belong to it; the detail counts them. Nothing was changed; remove or move those first.",
    ),
    "not-changeable": ProblemKind(
        HTTPStatus.CONFLICT,
        "It can't be changed any more",
        "A revoked key stays revoked. Nothing was changed; make another key.",
    ),
    "tag-used": ProblemKind(
        HTTPStatus.CONFLICT,
        "The tag has issued IDs",
        "A used tag can't be removed: made again it would repeat its IDs. Set `enabled` to false instead.",
    ),
    "repeats-ids": ProblemKind(
        HTTPStatus.CONFLICT,
        "The change could repeat IDs",
        "Under the new configuration the tag could issue an ID that it issued before; the detail says why. "
        "Nothing was changed; use another tag.",
    ),
    "precondition-failed": ProblemKind(
        HTTPStatus.PRECONDITION_FAILED,
        "It was changed meanwhile",
        "The If-Match header doesn't name the current version. Nothing was changed; read it again first.",
    ),
    "too-many": ProblemKind(
        HTTPStatus.CONFLICT,
        "As many as are allowed are there",
        "The detail says how many are kept at most. Nothing was changed; remove some first.",
    ),
    "not-restorable": ProblemKind(
        HTTPStatus.CONFLICT,
        "The snapshot can't be read",
        "Another version of the service wrote the snapshot, and this one doesn't know all that it holds. "
        "Nothing was changed.",
    ),
    # The service's own state
    "internal-error": ProblemKind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed",
        "A mistake of the service. Its log has the cause under the request id.",
    ),
    "not-ready": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service is not ready",
        "The process starts or stops, or nothing can be issued now. Try again after Retry-After seconds.",
    ),
    "ids-unavailable": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "No ID can be issued safely now",
        "The clock or the store does not allow it at the moment. No ID was issued or lost; try again after "
        "Retry-After seconds.",
    ),
    "worker-ids-exhausted": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "All worker ids are taken",
        "All 256 worker ids of the data centre are held by other processes, so this one can't make "
        "time-ordered IDs. Try again after Retry-After seconds; an operator should stop processes.",
    ),
    "database-unavailable": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database does not answer",
        "What was asked for needs the database. Try again after Retry-After seconds.",
    ),
    "keys-unavailable": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Keys can't be checked now",
        "Whether the API key is good can't be found out at the moment; it says nothing about the key. "
        "Try again after Retry-After seconds.",
    ),
    "dependency-failed": ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "A service that this one needs failed",
        "The detail names it. Try again after Retry-After seconds.",
    ),
    "faults-forbidden": ProblemKind(
        HTTPStatus.FORBIDDEN,
        "Faults are forbidden here",
        "This environment allows no injected faults, whoever asks. Nothing was changed.",
    ),
    # Exports
    "too-many-exports": ProblemKind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many exports are under way",
        "The workspace has as many queued and running exports as it may have. Nothing was queued; try again "
        "when one has ended.",
    ),
    "export-not-done": ProblemKind(
        HTTPStatus.CONFLICT,
        "The export has no file yet, or never will",
        "Only an export in the state `done` has content; the detail tells its state now.",
    ),
    "export-gone": ProblemKind(
        HTTPStatus.GONE,
        "The export's file is gone",
        "The export was made, but its file is no longer kept where this server looks. Make another one.",
    ),
    # Only over gRPC
    "deadline-exceeded": ProblemKind(
        HTTPStatus.GATEWAY_TIMEOUT,
        "The caller's deadline passed",
        "The call waited for a thread longer than its caller does. No ID was issued.",
    ),
    "too-many-streams": ProblemKind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many streams are open",
        "This process carries as many streams as it may. Open one again later, or use single calls.",
    ),
}  # fmt: skip
