"""What a snapshot holds, and how two of them differ. Pure.

Groups and tags: not keys, which are secrets with a life of their own, and not the segments' positions,
which must never go back.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.administration.names import Settings
from app.tag_config import TagConfig

# As the database has it: what an import named otherwise than the API allows is kept, too.
Name = Annotated[str, Field(min_length=1, max_length=128)]


class GroupContent(BaseModel):
    """A group's own configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: Settings = {}


class TagContent(BaseModel):
    """A tag's place and configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Name
    config: TagConfig


class Content(BaseModel):
    """Groups and tags by name. Every tag's group is among the groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    groups: dict[Name, GroupContent] = {}
    tags: dict[Name, TagContent] = {}


class Change(BaseModel):
    """One thing that differs. `old` is null for what is added, `new` for what the content aimed at lacks."""

    kind: Literal["group", "tag"]
    name: str
    change: Annotated[
        Literal["added", "changed", "extra"],
        Field(description="extra: there, but not in the content aimed at"),
    ]
    old: dict[str, Any] | None
    new: dict[str, Any] | None


def differences(now: Content, aim: Content) -> list[Change]:
    """What must change so that `now` becomes `aim`: groups before tags, each by name."""
    return [
        *_differences("group", _plain(now.groups), _plain(aim.groups)),
        *_differences("tag", _plain(now.tags), _plain(aim.tags)),
    ]


def _plain(things: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: thing.model_dump(mode="json") for name, thing in things.items()}


def _differences(
    kind: Literal["group", "tag"], now: dict[str, dict[str, Any]], aim: dict[str, dict[str, Any]]
) -> list[Change]:
    found = []
    for name in sorted(now.keys() | aim.keys()):
        old, new = now.get(name), aim.get(name)
        if old == new:
            continue
        change: Literal["added", "changed", "extra"] = (
            "added" if old is None else "extra" if new is None else "changed"
        )
        found.append(Change(kind=kind, name=name, change=change, old=old, new=new))
    return found
