"""What things may be called, what is kept beside them, and who did something to them."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field, JsonValue

from app.auth.principal import Principal
from app.server import problems
from app.server.problems import ProblemError

DEFAULT = "default"
"""The workspace whose administrators make workspaces, and the group of tags that name none."""

NAME = r"^[A-Za-z0-9._-]{1,64}$"
Name = Annotated[str, Field(pattern=NAME)]

MOST_SETTINGS = 64
LARGEST_SETTINGS = 16_384

Record = Callable[..., None]
"""The audit seam: record(action, target, result, *, workspace_id, actor, detail)."""

_NAME = re.compile(NAME.removesuffix("$"), re.ASCII)
_RESERVED = "_"


def named(kind: str, name: str) -> str:
    """A name from a path. Raises the problem of a thing that does not exist: no thing has another name."""
    if not _NAME.fullmatch(name):
        raise missing(kind, name)
    return name


def missing(kind: str, name: object) -> ProblemError:
    """Nothing of this kind has this name in the caller's workspace."""
    if kind == "tag":
        return problems.unknown_tag(str(name))
    return problems.of("not-found", f"{kind}: {problems.shown(name)} does not exist")


def exists(kind: str, name: str) -> ProblemError:
    """The name is taken."""
    return problems.of("already-exists", f"{kind}: {problems.shown(name)} exists already")


def _bounded(settings: dict[str, Any]) -> dict[str, Any]:
    if len(settings) > MOST_SETTINGS:
        raise ValueError(f"{MOST_SETTINGS} keys at most")
    if wrong := [key for key in settings if not _NAME.fullmatch(key) or key.startswith(_RESERVED)]:
        raise ValueError(
            f"keys of 1 to 64 letters, digits, '.', '_' and '-', not beginning with '_': {wrong[0][:40]!r}"
        )
    try:
        size = len(orjson.dumps(settings))
    except TypeError as error:  # e.g. numbers beyond 64 bits
        raise ValueError(f"what JSON readers agree on: {error}") from None
    if size > LARGEST_SETTINGS:
        raise ValueError(f"{LARGEST_SETTINGS} octets as JSON at most")
    return settings


Settings = Annotated[
    dict[str, JsonValue],
    AfterValidator(_bounded),
    Field(description="free for the workspace's use; 64 keys and 16 KiB as JSON at most"),
]


def visible(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without what the service keeps there for itself."""
    return {key: value for key, value in settings.items() if not key.startswith(_RESERVED)}


def without_defaults(schema: dict[str, Any]) -> None:
    """For the description of a patch: what is left out stays as it is, so no property has a default."""
    for described in schema.get("properties", {}).values():
        described.pop("default", None)


def actor(principal: Principal) -> str:
    """How audit events name a caller."""
    return f"key/{principal.key_id}:{principal.name}"


def tell(
    record: Record, principal: Principal, action: str, target: str, result: str = "ok", **detail: object
) -> None:
    """Record what a caller did; configuration changes give `old` and `new`."""
    record(action, target, result, workspace_id=principal.workspace_id, actor=actor(principal), detail=detail)
