"""What the service says of itself, and that it keeps to it."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from app.server.admission import Admission
from app.server.api import docs
from app.server.operation import install
from app.server.problem_kinds import KINDS


def test_every_route_is_documented_with_every_answer(world):
    document = world.get("/openapi.json", key=None).json
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "1.2.3"
    for path in (
        "/v1/ids/{tag}",
        "/v1/leases/{tag}",
        "/v1/ids/{id}:decode",
        "/healthz",
        "/readyz",
        "/metrics",
    ):
        assert path in document["paths"]
    issue = document["paths"]["/v1/ids/{tag}"]["post"]
    assert set(issue["responses"]) == {
        "200",
        "400",
        "401",
        "403",
        "404",
        "406",
        "409",
        "413",
        "429",
        "500",
        "503",
    }
    types = issue["responses"]["401"]["content"]["application/problem+json"]["schema"]["allOf"][1]
    assert "/problems/key-revoked" in types["properties"]["type"]["enum"]
    assert issue["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert issue["parameters"][1]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100_000,
        "default": 1,
    }


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("0", True),
        ("00", False),
        (str(2**63 - 1), True),
        (str(2**63), False),
        ("9223372036854775799", True),
        ("9223372036854775810", False),
        ("8999999999999999999", True),
        ("9999999999999999999", False),
        ("99999999999999999", True),
        ("10000000000000000000", False),
    ],
)
def test_the_documented_pattern_of_ids_is_exactly_what_is_decoded(world, text, allowed):
    parameter = world.get("/openapi.json", key=None).json["paths"]["/v1/ids/{id}:decode"]["get"][
        "parameters"
    ][0]
    assert bool(re.fullmatch(parameter["schema"]["pattern"].strip("^$"), text)) == allowed
    assert (world.get(f"/v1/ids/{text}:decode").status_code == 200) == allowed


def test_every_schema_is_one_and_every_reference_leads_somewhere(world):
    answer = world.get("/openapi.json", key=None)
    known = {
        f"#/components/{part}/{name}"
        for part in ("schemas", "headers")
        for name in answer.json["components"][part]
    }
    assert set(re.findall(r'"\$ref":"([^"]+)"', answer.text)) <= known
    for schema in answer.json["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_a_view_that_is_not_documented_is_a_mistake():
    app = Flask("test")
    install(app, admission=Admission(lambda token: None))
    app.register_blueprint(docs.blueprint("1.0.0"))
    app.add_url_rule("/hidden", view_func=lambda: "x", endpoint="hidden")
    assert app.test_client().get("/openapi.json").status_code == 500


def test_every_kind_of_problem_is_explained(world):
    listed = world.get("/problems", key=None).json["problems"]
    assert {one["type"] for one in listed} == {f"/problems/{slug}" for slug in KINDS}
    for slug, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
        assert kind.status >= HTTPStatus.BAD_REQUEST
        assert kind.meaning.endswith(".")
        assert world.get(f"/problems/{slug}", key=None).json["meaning"] == kind.meaning
    assert world.get("/problems/nope", key=None).status_code == 404


def test_every_kind_of_problem_that_the_code_names_is_documented():
    named = set()
    for path in Path("app").rglob("*.py"):
        named |= set(re.findall(r'problems\.(?:of|unavailable)\(\s*"([a-z-]+)"', path.read_text()))
    assert len(named) > 15
    assert named <= set(KINDS)


def test_the_page_shows_every_operation_and_needs_nothing_from_elsewhere(world):
    answer = world.get("/docs", key=None)
    assert answer.content_type.startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for path in world.get("/openapi.json", key=None).json["paths"]:
        assert f">{path}<" in answer.text
    assert not re.search(r"<script|<link|<img|src=|url\(|https?://", answer.text)
    inside = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert inside <= set(re.findall(r'id="([^"]+)"', answer.text))


@pytest.mark.parametrize("tag", ["orders", "events", "documents"])
def test_what_is_issued_is_as_documented(world, tag):
    schemas = world.get("/openapi.json", key=None).json["components"]["schemas"]
    Draft202012Validator(schemas["Ids"]).validate(world.post(f"/v1/ids/{tag}?count=7").json)
