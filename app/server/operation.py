"""What every endpoint shares: who calls, what is let in, how errors look, what the documentation says.

`operation(...)` decorates a Flask view and keeps its description; `install` prepares an application, so that
a blueprint can be tested in an application of its own:

    app = Flask("test")
    install(app, admission=Admission(lambda token: some_principal))
    app.register_blueprint(blueprint(...))
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, get_origin

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.server import problems, request_context
from app.server.admission import Admission, bearer
from app.server.logs import logger
from app.server.problem_kinds import KINDS
from app.server.problems import ProblemError

MOST_BODY = 1 << 20
"""Octets of a request's body at most."""

MOST_ERRORS_TOLD = 5
EXTENSION = "plumbline"
JSON = "application/json"

Scope = Literal["issue", "read", "admin", "operate"]


@dataclass(frozen=True)
class Content:
    """An answer with a body that is not just a model as JSON. media: type -> model, or an OpenAPI schema."""

    description: str
    media: Mapping[str, type[BaseModel] | Mapping[str, Any]]


@dataclass(frozen=True)
class Operation:
    """What the documentation says of a view. path: OpenAPI schemas of path parameters beyond the default."""

    summary: str
    scope: str | None
    answers: Mapping[int, type[BaseModel] | str | Content]
    group: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: Sequence[str] = ()
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    description: str = ""
    parameters: Sequence[Mapping[str, Any]] = ()


class Frame:
    """What `install` keeps in `app.extensions["plumbline"]`."""

    def __init__(self, admission: Admission, problem: Callable[[str], None]) -> None:
        self.admission, self.problem = admission, problem

    def authenticate(self, scope: str) -> Any:
        """The calling Principal. Raises the problem of a missing, wrong, revoked or too narrow key."""
        return self.admission.admit(bearer(request.environ), scope)


def operation(
    *,
    summary: str,
    scope: Scope | None,
    answers: Mapping[int, type[BaseModel] | str | Content],
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    problems: Sequence[str] = (),
    group: str,
    path: Mapping[str, Mapping[str, Any]] | None = None,
    description: str = "",
    parameters: Sequence[Mapping[str, Any]] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a view, below the route's own decorator.

    scope: what the key must allow; None = open to all. answers: successes by status, a model for JSON or a
    text for no body. body, query: models; the view gets `body=` and `query=`. problems: slugs beyond those
    that every such operation has. group: the heading in the documentation. path: OpenAPI schemas of
    parameters in the path. parameters: OpenAPI parameters that the view reads by itself.

    The view may return a model (answered with the first status of `answers`), (model, status), None (204),
    or anything that Flask understands. The calling Principal is in `g.principal`.
    """
    unknown = [slug for slug in problems if slug not in KINDS]
    if unknown:
        raise ValueError(f"problems: {unknown} are not in problem_kinds.KINDS")
    described = Operation(
        summary, scope, answers, group, body, query, problems, path or {}, description, parameters
    )
    success = min(answers)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def framed(**arguments: Any) -> Any:
            if scope is not None:
                g.principal = current_app.extensions[EXTENSION].authenticate(scope)
            if query is not None:
                arguments["query"] = read_query(query)
            if body is not None:
                arguments["body"] = read_body(body)
            return _response(view(**arguments), success)

        framed.operation = described  # type: ignore[attr-defined]
        return framed

    return decorate


def install(
    app: Flask,
    *,
    admission: Admission,
    problem: Callable[[str], None] = lambda slug: None,
    constant: Mapping[str, str] | None = None,
) -> None:
    """Give an application its errors, ids and headers.

    problem: told the slug of each problem answered. constant: headers of every answer.
    """
    app.extensions[EXTENSION] = Frame(admission, problem)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.url_map.merge_slashes = False
    fixed = list((constant or {}).items())

    def answer(error: ProblemError) -> Response:
        problem(error.slug)
        body = problems.body_of(error, request_context.of(request.environ))
        return Response(body, error.status, problems.headers_of(error), content_type=problems.PROBLEM_JSON)

    @app.errorhandler(ProblemError)
    def on_problem(error: ProblemError) -> Response:
        return answer(error)

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Any:
        if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
            return error  # a redirect
        response = answer(_of_http(error))
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    @app.errorhandler(SQLAlchemyError)
    def on_database_error(error: SQLAlchemyError) -> Response:
        if not isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
            return on_mistake(error)
        context = request_context.of(request.environ)
        logger().error("database failed", request_id=context.request_id, error=str(error)[:500])
        return answer(problems.unavailable("database-unavailable", "the database does not answer"))

    @app.errorhandler(Exception)
    def on_mistake(error: Exception) -> Response:
        request_id = request_context.of(request.environ).request_id
        path = request.path[:200]
        logger().error("unexpected error", path=path, request_id=request_id, exc_info=error)
        return answer(problems.internal())

    @app.before_request
    def refuse_large_bodies() -> None:
        # Also where nobody reads the body: it would be received in full before the next request.
        if (length := request.environ.get("CONTENT_LENGTH")) and length.isdigit() and int(length) > MOST_BODY:
            raise RequestEntityTooLarge

    @app.after_request
    def mark(response: Response) -> Response:
        context = request_context.of(request.environ)
        # No view sets any of these, so nothing has to be looked for and replaced.
        response.headers.extend(
            [("X-Request-Id", context.request_id), ("traceparent", context.traceparent), *fixed]
        )
        if touched := g.get("touched"):
            response.headers["X-Fault-Injected"] = ",".join(touched)
        return response


def read_query(model: type[BaseModel]) -> BaseModel:
    """The query as the model, or the problem `bad-request`."""
    given: dict[str, Any] = {}
    for key, values in request.args.lists():
        known = model.model_fields.get(key)
        if known is not None and get_origin(known.annotation) in (list, tuple, set, frozenset):
            given[key] = values
        elif len(values) > 1:
            raise problems.bad_request(key, values[1], "one value; it was given more than once")
        else:
            given[key] = values[0]
        if any("\0" in value for value in values):
            raise problems.bad_request(key, values[0], "text without NUL")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise wrong_input(error, model) from None


def read_body(model: type[BaseModel]) -> BaseModel:
    """The body as the model. Raises a problem: media type, JSON, a value, or size."""
    if request.mimetype != JSON and not request.mimetype.endswith("+json"):
        raise problems.of(
            "unsupported-media-type", f"Content-Type: {problems.shown(request.mimetype)}; allowed: {JSON}"
        )
    raw = request.get_data(cache=False)
    if b"\\u0000" in raw:
        raise problems.of("bad-request", "the body: has a NUL character (\\u0000); allowed: text without NUL")
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise wrong_input(error, model) from None


def wrong_input(error: ValidationError, model: type[BaseModel]) -> ProblemError:
    """The problem that names each wrong key, its value and what is allowed."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return problems.of("malformed-json", f"the body: {found[0]['msg'][:200]}")
    lines = []
    for one in found[:MOST_ERRORS_TOLD]:
        key = ".".join(str(part)[: problems.MOST_ECHOED] for part in one["loc"])[:120] or "the body"
        if one["type"] == "missing":
            lines.append(f"{key}: missing; it is required")
        elif one["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown; allowed: {', '.join(model.model_fields)}")
        else:
            allowed = one["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {problems.shown(one['input'])} is not allowed; allowed: {allowed}")
    return problems.of("bad-request", "; ".join(lines))


def _response(result: Any, success: int) -> Any:
    if isinstance(result, BaseModel):
        return Response(result.model_dump_json(), success, content_type=JSON)
    if result is None:
        return Response(status=HTTPStatus.NO_CONTENT)
    if isinstance(result, tuple) and result and isinstance(result[0], BaseModel):
        model, status = result
        return Response(model.model_dump_json(), status, content_type=JSON)
    return result


def _of_http(error: HTTPException) -> ProblemError:
    """Flask's own refusals (no such path, wrong method) in the same shape."""
    status = HTTPStatus(error.code or 500)
    slug = {
        HTTPStatus.NOT_FOUND: "not-found",
        HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
        HTTPStatus.NOT_ACCEPTABLE: "not-acceptable",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    }.get(status, "internal-error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad-request")
    detail = {
        "not-found": "nothing is at this path",
        "body-too-large": "the body is larger than allowed; allowed: 1 MiB",
    }.get(slug)
    return problems.of(slug, detail or str(error.description or status.phrase)[:200])
