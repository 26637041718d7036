"""The OpenAPI 3.1 document of an application, from what `operation` keeps on its views."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from app.server.operation import JSON, Content, Operation
from app.server.problem_kinds import KINDS
from app.server.problems import PROBLEM_JSON

_REF = "#/components/schemas/{model}"
_PLACEHOLDER = re.compile(r"<(?:[a-z_]+(?:\([^)]*\))?:)?([A-Za-z_]\w*)>")
_BY_CONVERTER: Mapping[str, Mapping[str, Any]] = {
    "IntegerConverter": {"type": "integer", "minimum": 0},
    "UUIDConverter": {"type": "string", "format": "uuid"},
}
_EVERYWHERE = ("internal-error", "body-too-large")
_WITH_A_KEY = ("key-missing", "key-unknown", "key-revoked", "key-expired", "scope-missing", "rate-limited",
               "keys-unavailable", "database-unavailable")  # fmt: skip
_WITH_A_BODY = ("bad-request", "malformed-json", "unsupported-media-type")


class Problem(BaseModel):
    """RFC 9457. `type` is documented under the address that it is."""

    type: str = Field(description="/problems/SLUG")
    title: str
    status: int
    detail: str = Field(description="what was wrong this time; at most 40 characters of a value are repeated")
    request_id: str
    trace_id: str


def document(app: Flask, version: str) -> dict[str, Any]:
    """The whole document. Raises LookupError for a view without `operation`."""
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    described = [(rule, _operation(app, rule)) for rule in rules]
    groups = dict.fromkeys(_operation(app, rule).group for rule in app.url_map.iter_rules())
    schemas = _schemas(operation for _, operation in described)
    paths: dict[str, dict[str, Any]] = {}
    for rule, operation in described:
        entry = paths.setdefault(_PLACEHOLDER.sub(r"{\1}", rule.rule), {})
        for method in sorted(methods_of(rule)):
            entry[method.lower()] = _describe(rule, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Plumbline ID service", "version": version},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in groups],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "headers": _HEADERS,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "an API key, plk_..."}
            },
        },
    }


def methods_of(rule: Rule) -> set[str]:
    """The methods that a rule was written for; Flask adds HEAD and OPTIONS by itself."""
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


def slugs_of(operation: Operation, has_path_arguments: bool) -> list[str]:
    """Every kind of problem that the operation may answer with."""
    slugs = [*operation.problems, *_EVERYWHERE]
    if operation.scope is not None:
        slugs += _WITH_A_KEY
    if operation.body is not None:
        slugs += _WITH_A_BODY
    if operation.query is not None:
        slugs.append("bad-request")
    if has_path_arguments:
        slugs.append("not-found")
    return list(dict.fromkeys(slugs))


class _Schemas:
    """References to models, by the way they are used."""

    def __init__(self, models: Iterable[tuple[type[BaseModel], Any]]) -> None:
        unique = list(dict.fromkeys(models))
        self._references, content = models_json_schema(unique, ref_template=_REF)
        self.definitions: dict[str, Any] = content.get("$defs", {})

    def read(self, model: type[BaseModel]) -> dict[str, Any]:
        """What the service takes."""
        return self._references[model, "validation"]

    def written(self, model: type[BaseModel]) -> dict[str, Any]:
        """What the service answers."""
        return self._references[model, "serialization"]


def _schemas(operations: Iterable[Operation]) -> _Schemas:
    models: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
    for operation in operations:
        models += [(model, "validation") for model in (operation.body, operation.query) if model]
        for answer in operation.answers.values():
            media = answer.media.values() if isinstance(answer, Content) else (answer,)
            models += [(model, "serialization") for model in media if isinstance(model, type)]
    return _Schemas(models)


def _operation(app: Flask, rule: Rule) -> Operation:
    found = getattr(app.view_functions[rule.endpoint], "operation", None)
    if not isinstance(found, Operation):
        raise LookupError(f"{rule.rule}: its view has no @operation")
    return found


def _describe(rule: Rule, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [operation.group],
        "parameters": [*_path_parameters(rule, operation), *_query_parameters(operation, schemas)],
        "responses": {
            **{str(status): _success(answer, schemas) for status, answer in operation.answers.items()},
            **_failures(slugs_of(operation, bool(rule.arguments)), schemas),
        },
    }
    if operation.description:
        told["description"] = operation.description
    if operation.scope is not None:
        told["security"] = [{"key": []}]
        told["x-scope"] = operation.scope
    if operation.body is not None:
        told["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schemas.read(operation.body)}},
        }
    return told


def _path_parameters(rule: Rule, operation: Operation) -> list[dict[str, Any]]:
    found = []
    for name in _PLACEHOLDER.findall(rule.rule):
        converter = type(rule._converters[name]).__name__
        schema = operation.path.get(name) or _BY_CONVERTER.get(converter, {"type": "string", "minLength": 1})
        found.append({"name": name, "in": "path", "required": True, "schema": dict(schema)})
    return found


def _query_parameters(operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    found = [dict(parameter) for parameter in operation.parameters]
    if operation.query is None:
        return found
    name = schemas.read(operation.query)["$ref"].rsplit("/", 1)[1]
    whole = schemas.definitions[name]
    for key, described in whole.get("properties", {}).items():
        schema = _without_null(described)
        parameter = {
            "name": key,
            "in": "query",
            "required": key in whole.get("required", ()),
            "schema": schema,
        }
        if "description" in schema:
            parameter["description"] = schema["description"]
        found.append(parameter)
    return found


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema: in a query, what is null is left out."""
    plain = dict(schema)
    choices = [one for one in plain.pop("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        plain |= choices[0]
    elif choices:
        plain["anyOf"] = choices
    if plain.get("default", "") is None:
        del plain["default"]
    return plain


def _success(answer: type[BaseModel] | str | Content, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {"headers": _references("X-Request-Id", "traceparent")}
    if isinstance(answer, str):
        return told | {"description": answer}
    if not isinstance(answer, Content):
        lines = (answer.__doc__ or answer.__name__).strip().splitlines()
        answer = Content(lines[0], {JSON: answer})
    content = {
        media: {"schema": schemas.written(model) if isinstance(model, type) else dict(model)}
        for media, model in answer.media.items()
    }
    return told | {"description": answer.description, "content": content}


def _failures(slugs: Iterable[str], schemas: _Schemas) -> dict[str, Any]:
    by_status: dict[HTTPStatus, list[str]] = {}
    for slug in slugs:
        by_status.setdefault(KINDS[slug].status, []).append(slug)
    told = {}
    for status, kinds in sorted(by_status.items()):
        headers = ["X-Request-Id", "traceparent"]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append("WWW-Authenticate")
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers.append("Retry-After")
        types = [f"/problems/{slug}" for slug in kinds]
        schema = {"allOf": [schemas.written(Problem), {"properties": {"type": {"enum": types}}}]}
        told[str(int(status))] = {
            "description": "; ".join(f"{slug}: {KINDS[slug].title}" for slug in kinds),
            "headers": _references(*headers),
            "content": {PROBLEM_JSON: {"schema": schema}},
        }
    return told


def _references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


_HEADERS = {
    "X-Request-Id": {
        "description": "the caller's id of the request, or a new one",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "traceparent": {
        "description": "the request's part of its trace, as W3C Trace Context writes it",
        "schema": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    },
    "Retry-After": {
        "description": "seconds after which to try again",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}},
}
