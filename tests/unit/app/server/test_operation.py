"""The frame around every endpoint, on small applications of its own."""

from types import SimpleNamespace
from typing import Literal

import pytest
from flask import Flask
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.auth.principal import AuthError
from app.server.admission import Admission
from app.server.operation import MOST_BODY, install, operation


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=5)
    size: int = Field(1, ge=1, le=9)


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=100)
    kind: list[Literal["a", "b"]] = []


class Answer(BaseModel):
    seen: str


def authenticate(token):
    if token == "plk_x":
        return SimpleNamespace(key_id=1, scopes=frozenset({"read"}), workspace="default")
    raise AuthError("key-unknown")


@pytest.fixture
def counted():
    return []


@pytest.fixture
def http(counted):
    app = Flask("test")
    install(app, admission=Admission(authenticate), problem=counted.append, constant={"X-Constant": "1"})

    @app.post("/things")
    @operation(summary="Make", scope=None, answers={201: Answer}, body=Body, group="Things")
    def make(body: Body) -> Answer:
        return Answer(seen=f"{body.name} {body.size}")

    @app.get("/things")
    @operation(summary="List", scope="read", answers={200: Answer}, query=Query, group="Things")
    def show(query: Query) -> Answer:
        return Answer(seen=f"{query.limit} {','.join(query.kind)}")

    @app.delete("/things")
    @operation(summary="Delete", scope="admin", answers={204: "gone"}, group="Things")
    def delete() -> None:
        return None

    @app.get("/fail/<how>")
    @operation(summary="Fail", scope=None, answers={200: Answer}, group="Things")
    def fail(how: str) -> Answer:
        known = {
            "database": OperationalError("SELECT secret", {}, Exception("secret")),
            "statement": ProgrammingError("SELECT secret", {}, Exception("secret")),
            "mistake": RuntimeError("secret"),
        }
        raise known[how]

    return app.test_client()


KEY = {"Authorization": "Bearer plk_x"}


def slug_of(answer):
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    return answer.json["type"].removeprefix("/problems/")


def test_a_model_is_answered_with_the_status_of_the_documentation(http):
    answer = http.post("/things", json={"name": "abc", "size": 3})
    assert (answer.status_code, answer.json) == (201, {"seen": "abc 3"})
    assert answer.headers["X-Constant"] == "1"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "toolong"}, ["name: 'toolong' is not allowed", "at most 5 characters"]),
        ({"name": "a", "size": 10}, ["size: 10 is not allowed", "less than or equal to 9"]),
        ({"name": "a", "size": "3"}, ["size: '3' is not allowed", "integer"]),
        ({"size": 1}, ["name: missing"]),
        ({"name": "a", "nmae": 1}, ["nmae: unknown; allowed: name, size"]),
        ([], ["the body: [] is not allowed"]),
        ({"name": "a\0"}, ["NUL"]),
    ],
)
def test_a_wrong_body_is_a_problem_that_names_key_value_and_what_is_allowed(http, body, told):
    answer = http.post("/things", json=body)
    assert slug_of(answer) == "bad-request"
    for part in told:
        assert part in answer.json["detail"]


@pytest.mark.parametrize(
    "size",
    [
        b"9" * 4000,
        b"9" * 6000,
        b"-" + b"9" * 500_000,
        b"1e400",
        b"[" * 100 + b"]" * 100,
        b"[0" + b",0" * 90_000 + b"]",
    ],
)
def test_a_huge_value_is_refused_like_any_other(http, size):
    body = b'{"name": "a", "size": ' + size + b"}"
    answer = http.post("/things", data=body, content_type="application/json")
    assert slug_of(answer) in ("bad-request", "malformed-json")
    assert len(answer.json["detail"]) < 300


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff", b'{"name": "\\ud800"}', b"{'name': 1}", b"nan"])
def test_a_body_that_is_not_json_is_a_problem_of_its_own(http, raw):
    answer = http.post("/things", data=raw, content_type="application/json")
    assert (answer.status_code, slug_of(answer)) == (400, "malformed-json")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"])
def test_a_body_of_another_type_is_415(http, media):
    answer = http.post("/things", data=b"{}", content_type=media)
    assert (answer.status_code, slug_of(answer)) == (415, "unsupported-media-type")


@pytest.mark.parametrize("path", ["/things", "/fail/x"])
def test_a_body_over_one_mebibyte_is_413_whether_or_not_it_is_read(http, path):
    answer = http.open(
        path,
        method="POST" if path == "/things" else "GET",
        data=b'"' + b"x" * MOST_BODY,
        content_type="application/json",
    )
    assert (answer.status_code, slug_of(answer)) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit: '0' is not allowed"),
        ("limit=x", "limit: 'x' is not allowed"),
        ("limit=1&limit=2", "more than once"),
        ("limt=1", "limt: unknown; allowed: limit, kind"),
        ("kind=a&kind=c", "kind.1: 'c' is not allowed"),
        ("limit=%00", "NUL"),
    ],
)
def test_a_wrong_query_is_a_problem_that_names_key_value_and_what_is_allowed(http, query, told):
    answer = http.get(f"/things?{query}", headers=KEY)
    assert slug_of(answer) == "bad-request"
    assert told in answer.json["detail"]


def test_a_list_in_the_query_is_its_repetitions(http):
    assert http.get("/things?kind=a&kind=b", headers=KEY).json == {"seen": "10 a,b"}


def test_no_error_repeats_more_than_forty_characters_of_the_input(http):
    long = "Q" * 500
    answers = [
        http.post("/things", json={"name": long}),
        http.post("/things", json={long: 1, "name": "a"}),
        http.post("/things", data=b"{}", content_type=f"text/{long}"),
        http.post("/things", data=f'{{"{long}', content_type="application/json"),
        http.get(f"/things?limit={long}", headers=KEY),
        http.get(f"/things?{long}=1", headers=KEY),
        http.get(f"/{long}"),
    ]
    for answer in answers:
        assert slug_of(answer)
        assert "Q" * 41 not in answer.text


@pytest.mark.parametrize(
    ("headers", "method", "status", "slug"),
    [
        ({}, "get", 401, "key-missing"),
        ({"Authorization": "Basic eDp5"}, "get", 401, "key-missing"),
        ({"Authorization": "Bearer "}, "get", 401, "key-missing"),
        ({"Authorization": "Bearer plk_y"}, "get", 401, "key-unknown"),
        (KEY, "delete", 403, "scope-missing"),
    ],
)
def test_who_may_not_gets_401_or_403_before_anything_is_read(http, headers, method, status, slug):
    answer = getattr(http, method)("/things?limit=wrong", headers=headers)
    assert (answer.status_code, slug_of(answer)) == (status, slug)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_every_answer_carries_the_callers_request_id_and_trace(http):
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"X-Request-Id": "my-id.1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    for path in ("/things", "/nowhere", "/fail/mistake"):
        answer = http.get(path, headers=sent)
        assert answer.headers["X-Request-Id"] == answer.json["request_id"] == "my-id.1"
        assert answer.json["trace_id"] == trace
        version, seen, span, flags = answer.headers["traceparent"].split("-")
        assert (version, seen, flags) == ("00", trace, "01")
        assert span != "b7ad6b7169203331"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, "ä", "a;b"])
def test_a_request_id_that_is_not_well_formed_is_replaced(http, bad):
    answer = http.get("/nowhere", headers={"X-Request-Id": bad, "traceparent": bad})
    assert len(answer.headers["X-Request-Id"]) == 32
    assert len(answer.json["trace_id"]) == 32


def test_a_missing_path_and_a_wrong_method_are_problems(http):
    assert slug_of(http.get("/nowhere")) == "not-found"
    answer = http.put("/things")
    assert slug_of(answer) == "method-not-allowed"
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST", "DELETE"}


def test_a_mistake_of_ours_tells_nothing_of_its_cause_and_a_database_away_says_when_to_retry(http, counted):
    assert slug_of(http.get("/fail/mistake")) == "internal-error"
    assert slug_of(http.get("/fail/statement")) == "internal-error"
    answer = http.get("/fail/database")
    assert (answer.status_code, slug_of(answer)) == (503, "database-unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "secret" not in http.get("/fail/mistake").text + answer.text
    assert counted == ["internal-error", "internal-error", "database-unavailable", "internal-error"]


def test_an_operation_can_not_name_a_kind_of_problem_that_is_not_documented():
    with pytest.raises(ValueError, match="no-such-kind"):
        operation(summary="x", scope=None, answers={200: "x"}, problems=["no-such-kind"], group="x")
