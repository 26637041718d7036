"""Lists in pages: a cursor says where the next one begins, so that they stay right while rows come and go."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from app.server import problems

MOST = 500
T = TypeVar("T")


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MOST, description="things of one page at most")
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before")


def cursor_of(kind: str, *position: object) -> str:
    """Where the next page of a list of this kind begins, as text that is safe in a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *position])).decode().rstrip("=")


def position_of(kind: str, cursor: str, types: Sequence[type]) -> list[Any]:
    """The way back. Raises the problem bad-request for any other text."""
    try:
        octets = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        given = orjson.loads(octets)
    except (binascii.Error, ValueError):
        given = None
    if (
        not isinstance(given, list)
        or given[:1] != [kind]
        or [type(value) for value in given[1:]] != list(types)
        or any(isinstance(value, int) and not 0 <= value < 1 << 63 for value in given[1:])
    ):
        raise problems.bad_request("cursor", cursor, "`next` of another page of this list")
    return given[1:]


def after_id(kind: str, query: PageQuery) -> int:
    """The id after which the page begins, for lists by id."""
    return position_of(kind, query.cursor, [int])[0] if query.cursor is not None else 0


def page_of(kind: str, rows: Sequence[T], query: PageQuery, *key: str) -> tuple[Sequence[T], str | None]:
    """The page's rows and the next cursor, of `limit` + 1 rows read in the order of the columns `key`."""
    shown = rows[: query.limit]
    if len(rows) <= query.limit:
        return shown, None
    return shown, cursor_of(kind, *(getattr(shown[-1], column) for column in key))
