"""Live configuration of tags: `/idgen/config/{workspace}/{group}/{tag}` has any part of a TagConfig."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError

from app.coordination.names import checked_part
from app.coordination.store import Delete, Put, Store
from app.tag_config import TagConfig

PREFIX = "/idgen/config/"
MOST_OCTETS = 16_384


class BadConfigError(ValueError):
    """A value that isn't part of a tag's configuration; the message names key, value and what is allowed."""


class Place(NamedTuple):
    """Which tag is meant."""

    workspace: str
    group: str
    tag: str

    @property
    def key(self) -> str:
        return PREFIX + "/".join(self)

    @classmethod
    def of(cls, key: str) -> "Place":
        """Raises BadConfigError for a key that names no tag."""
        parts = key.removeprefix(PREFIX).split("/")
        if not key.startswith(PREFIX) or len(parts) != 3:
            raise BadConfigError(f"{key!r} is not allowed; allowed: {PREFIX}WORKSPACE/GROUP/TAG")
        return cls.checked(*parts)

    @classmethod
    def checked(cls, workspace: str, group: str, tag: str) -> "Place":
        """Raises BadConfigError that names the bad part."""
        try:
            return cls(
                checked_part("workspace", workspace), checked_part("group", group), checked_part("tag", tag)
            )
        except ValueError as error:
            raise BadConfigError(str(error)) from None


def checked(fields: Mapping[str, object]) -> Mapping[str, Any]:
    """The given fields, typed, and no others; read-only. Raises BadConfigError."""
    try:
        config = TagConfig.model_validate(dict(fields))
    except ValidationError as error:
        raise BadConfigError("; ".join(_line(one) for one in error.errors(include_url=False))) from None
    return MappingProxyType({name: getattr(config, name) for name in sorted(config.model_fields_set)})


def parse(text: str) -> Mapping[str, Any]:
    """What a key's value says. Raises BadConfigError."""
    if len(text) > MOST_OCTETS:
        raise BadConfigError(f"{len(text)} octets are not allowed; allowed: {MOST_OCTETS}")
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise BadConfigError(f"{text[:80]!r} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadConfigError(f"{text[:80]!r} is not allowed; allowed: a JSON object")
    return checked(fields)


def put_config(store: Store, workspace: str, group: str, tag: str, fields: Mapping[str, object]) -> int:
    """Set a tag's live configuration, replacing the one before; etcd's revision.

    Raises BadConfigError, and then nothing is written; EtcdAwayError, and then nothing is known.
    """
    place = Place.checked(workspace, group, tag)
    revision = store.transact({}, [Put(place.key, json.dumps(dict(checked(fields)), sort_keys=True))])
    assert revision is not None  # there is no condition
    return revision


def delete_config(store: Store, workspace: str, group: str, tag: str) -> bool:
    """Let the tag's row alone decide again; whether there was something to remove. Raises as `put_config`."""
    place = Place.checked(workspace, group, tag)
    entry = store.get(place.key)
    if entry is None:
        return False
    return store.transact({place.key: entry.revision}, [Delete(place.key)]) is not None


def _line(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        return f"{name}: not a field of a tag; allowed: {', '.join(TagConfig.model_fields)}"
    return f"{name}: {error['input']!r:.80} is not allowed: {error['msg'].removeprefix('Value error, ')}"
