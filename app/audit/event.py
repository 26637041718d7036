"""One audit event, and its form as a line of JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

LONGEST_TEXT = 200
"""Characters of an event's action, target, actor or result."""
LARGEST_DETAIL = 8_192
"""Octets of an event's detail as JSON."""


class BadEventError(ValueError):
    """A line that is not an event."""


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is in UTC. `detail` holds only what JSON can hold; configuration changes say `old` and `new`."""

    at: datetime
    action: str
    target: str
    result: str
    workspace_id: int | None = None
    actor: str = "system"
    request_id: str = ""
    trace_id: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)

    def to_line(self) -> bytes:
        """The event as JSON with a line's end."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_line(cls, line: bytes) -> "Event":
        """The event of such a line, or BadEventError."""
        try:
            values = orjson.loads(line)
            return cls(**{**values, "at": datetime.fromisoformat(values["at"])})
        except (orjson.JSONDecodeError, TypeError, KeyError, ValueError) as error:
            raise BadEventError(f"not an event: {line[:80]!r}: {error}") from None


def short(text: object) -> str:
    """A text of an event, cut where it is too long, without what Postgres can't store."""
    return str(text)[:LONGEST_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


def bounded(detail: Mapping[str, object]) -> dict[str, object]:
    """The detail as plain JSON values, replaced by a note when it is too large or can't be written."""
    try:
        written = orjson.dumps(dict(detail), default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        return {"left_out": f"not JSON: {short(error)}"}
    if len(written) > LARGEST_DETAIL:
        return {"left_out": f"{len(written)} octets; allowed: {LARGEST_DETAIL}"}
    plain: dict[str, object] = orjson.loads(written)
    return _without_nul(plain) if b"\\u0000" in written else plain


def _without_nul(value: Any) -> Any:
    """Postgres' jsonb has no NUL character."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {key.replace("\0", ""): _without_nul(one) for key, one in value.items()}
    return value
