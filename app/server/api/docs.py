"""GET /openapi.json, /docs, /problems, /problems/{slug}: what the service says of itself. No key."""

from functools import cache

import orjson
from flask import Blueprint, Response, current_app
from pydantic import BaseModel

from app.server import openapi, problems
from app.server.api import docs_page
from app.server.operation import JSON, Content, operation
from app.server.problem_kinds import KINDS

# The page needs its own style only; nothing may be fetched from anywhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Kind(BaseModel):
    """A kind of problem."""

    type: str
    status: int
    title: str
    meaning: str


class Kinds(BaseModel):
    """All kinds of problems."""

    problems: list[Kind]


def blueprint(version: str) -> Blueprint:
    """version: the service's."""
    made = Blueprint("docs", __name__)

    @cache
    def document() -> dict[str, object]:
        # Made when first asked for: then every blueprint is registered.
        return openapi.document(current_app, version)

    @cache
    def page() -> str:
        return docs_page.render(document(), KINDS)

    @made.get("/openapi.json")
    @operation(
        summary="This documentation as OpenAPI 3.1",
        scope=None,
        answers={200: Content("The document", {JSON: {"type": "object"}})},
        group="Documentation",
    )
    def openapi_json() -> Response:
        return Response(orjson.dumps(document()), content_type=JSON)

    @made.get("/docs")
    @operation(
        summary="This documentation as a page",
        scope=None,
        answers={200: Content("The page", {"text/html": {"type": "string"}})},
        group="Documentation",
    )
    def show_docs() -> Response:
        return Response(
            page(), headers={"Content-Security-Policy": _POLICY}, content_type="text/html; charset=utf-8"
        )

    @made.get("/problems")
    @operation(summary="The kinds of problems", scope=None, answers={200: Kinds}, group="Documentation")
    def show_problems() -> Kinds:
        return Kinds(problems=[_kind(slug) for slug in KINDS])

    @made.get("/problems/<slug>")
    @operation(
        summary="What a kind of problem means",
        scope=None,
        answers={200: Kind},
        group="Documentation",
        path={"slug": {"type": "string", "enum": sorted(KINDS)}},
    )
    def show_problem(slug: str) -> Kind:
        if slug not in KINDS:
            raise problems.of(
                "not-found", f"slug: {problems.shown(slug)} is no kind of problem; see /problems"
            )
        return _kind(slug)

    return made


def _kind(slug: str) -> Kind:
    kind = KINDS[slug]
    return Kind(type=f"/problems/{slug}", status=kind.status, title=kind.title, meaning=kind.meaning)
