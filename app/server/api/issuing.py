"""POST /v1/ids/{tag}, POST /v1/leases/{tag}, GET /v1/ids/{id}:decode."""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header
from werkzeug.routing import BaseConverter

from app.ids.model import MOST_INT64
from app.issuing import MOST_LEASED, Form, Issuing
from app.server import problems
from app.server.operation import JSON, Content, operation
from app.tag_config import MOST_IDS

FORMS: dict[str, Form] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/octet-stream": "octets",
}
_TAG = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}


def _decimal_up_to(most: int) -> str:
    """A regular expression of the numbers from 0 to `most`, without leading zeros."""
    digits = str(most)
    rest = len(digits) - 1
    ways = ["0", f"[1-9][0-9]{{0,{rest - 1}}}", digits]
    for at, digit in enumerate(digits):
        low, high = int(at == 0), int(digit) - 1
        if high >= low:
            ways.append(f"{digits[:at]}[{low}-{high}][0-9]{{{rest - at}}}")
    return "|".join(ways)


_ID = {
    "type": "string",
    "pattern": f"^({_decimal_up_to(MOST_INT64)}|[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}})$",
    "description": "a decimal number up to 2^63 - 1, or a UUID",
}
_ISSUING_PROBLEMS = ("bad-count", "bad-request", "unknown-tag", "tag-disabled", "tag-exhausted",
                     "not-ready", "ids-unavailable", "worker-ids-exhausted", "dependency-failed")  # fmt: skip


def _count_parameter(most: int, default: int | None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": most}
    if default is not None:
        schema["default"] = default
    told = "how many IDs" if default is not None else "how many IDs; as many as the tag's step without"
    return {"name": "count", "in": "query", "description": told, "schema": schema}


class Ids(BaseModel):
    """IDs in the order issued. They are strings: as numbers, JavaScript would round them."""

    ids: list[str] = Field(description="decimal numbers below 2^63, or UUIDs")
    algorithm: str = Field(description="what made them; not the tag's own algorithm while that can't")


class LeasedRange(BaseModel):
    """`first` to `last`, both included, as decimal numbers."""

    first: str
    last: str


class Leased(BaseModel):
    """Ranges of IDs that nobody else gets: the client hands them out by itself, in any order, or never."""

    tag: str
    ranges: list[LeasedRange]
    algorithm: str


class Decoded(BaseModel):
    """What an ID tells by itself. Members are absent where it tells nothing."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: str = Field(description="int64 or uuid")
    algorithm: str = Field(description="unknown: a UUID that was not made here")
    time: str = Field("", description="RFC 3339, UTC; absent after the year 9999")
    unix_ms: int = 0
    datacenter: int = 0
    worker: int = 0
    sequence: int = 0
    sequence_bits: int = 0
    version: int = Field(0, description="of a UUID as RFC 9562 defines it")


class DecodeQuery(BaseModel):
    """How a snowflake is laid out: by its tag, or said outright."""

    model_config = ConfigDict(extra="forbid")

    tag: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="the tag that the ID was made for")
    sequence_bits: int | None = Field(None, ge=10, le=11, description="11 without it and without a tag")


_ISSUED = Content(
    "The IDs. Other forms than JSON name the algorithm in X-Id-Algorithm and the kind in X-Id-Kind.",
    media={
        "application/json": Ids,
        "application/x-ndjson": {"type": "string", "description": "an ID a line, as a JSON string"},
        "application/octet-stream": {
            "type": "string",
            "format": "binary",
            "description": "8 octets an ID, big-endian, of the kind int64; 16 octets of the kind uuid",
        },
    },
)


class TagConverter(BaseConverter):
    """A tag in a path. Without a colon: /v1/ids/7:decode is another path, also for the wrong method."""

    regex = "[^/:]+"


def blueprint(issuing: Issuing) -> Blueprint:
    """The endpoints over the logic."""
    made = Blueprint("issuing", __name__)
    made.record_once(lambda state: state.app.url_map.converters.update(tag=TagConverter))

    @made.post("/v1/ids/<tag:tag>")
    @operation(
        summary="Issue IDs",
        description="IDs that were never issued before. The more at once, the cheaper each.",
        scope="issue",
        answers={200: _ISSUED},
        problems=(*_ISSUING_PROBLEMS, "not-acceptable"),
        group="IDs",
        path={"tag": _TAG},
        parameters=(_count_parameter(MOST_IDS, 1),),
    )
    def issue(tag: str) -> Response:
        environ = request.environ
        form = accepted_form(environ.get("HTTP_ACCEPT", ""))
        count = count_of(environ.get("QUERY_STRING", ""))
        touched = g.touched = []
        answer = issuing.issue(g.principal, tag, 1 if count is None else count, form, touched)
        return Response(answer.body, 200, answer.headers, content_type=answer.content_type)

    @made.post("/v1/leases/<tag:tag>")
    @operation(
        summary="Lease a range of IDs",
        description="For clients that hand out IDs themselves, at the speed of an addition.",
        scope="issue",
        answers={200: Leased},
        problems=(*_ISSUING_PROBLEMS, "lease-not-possible"),
        group="IDs",
        path={"tag": _TAG},
        parameters=(_count_parameter(MOST_LEASED, None),),
    )
    def lease(tag: str) -> Response:
        count = count_of(request.environ.get("QUERY_STRING", ""))
        touched = g.touched = []
        algorithm, batch = issuing.lease(g.principal, tag, count, touched)
        ranges = [{"first": str(one[0]), "last": str(one[-1])} for one in batch.blocks]
        body = {"tag": tag, "ranges": ranges, "algorithm": algorithm}
        return Response(orjson.dumps(body), content_type=JSON)

    @made.get("/v1/ids/<id>:decode")
    @operation(
        summary="Say what an ID tells",
        scope="issue",
        answers={200: Decoded},
        query=DecodeQuery,
        problems=("bad-id", "unknown-tag"),
        group="IDs",
        path={"id": _ID},
    )
    def decode_id(id: str, query: DecodeQuery) -> Response:
        return Response(
            orjson.dumps(issuing.decode(g.principal, id, query.tag, query.sequence_bits)), content_type=JSON
        )

    return made


def count_of(query: str) -> str | None:
    """The text of `count` in a query string, None without it. Raises `bad-request` for any other key."""
    if not query:
        return None
    # The one form that clients send; everything else is taken apart properly.
    if query.startswith("count=") and query[6:].isalnum() and query.isascii():
        return query[6:]
    found: str | None = None
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "count":
            raise problems.of("bad-request", f"{problems.shown(key)}: unknown; allowed: count")
        if found is not None:
            raise problems.bad_request("count", value, "one value; it was given more than once")
        found = value
    return found


@lru_cache(maxsize=256)
def accepted_form(accept: str) -> Form:
    """The form that an Accept header asks for. Raises the problem `not-acceptable`."""
    if accept in ("", "*/*"):
        return "json"
    best = parse_accept_header(accept, MIMEAccept).best_match(list(FORMS))
    if best is None:
        raise problems.of("not-acceptable", f"Accept: {problems.shown(accept)}; allowed: {', '.join(FORMS)}")
    return FORMS[best]
