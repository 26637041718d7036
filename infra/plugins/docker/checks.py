"""Check and diff: what an input may be, and whether a change needs an update or a new object.

Pure functions on plain values; nothing here talks to Docker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.plugins.docker.schema import Property, ResourceType
from infra.plugins.docker.values import UNKNOWN, Unknown

DEFAULTS = "__defaults"  # the list of inputs that check filled in, as the official plugin records it
_INTERNAL = {DEFAULTS, "__internal", "__meta"}

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "strings": (list,),
    "map": (dict,),
    "object": (dict,),
    "objects": (list,),
}


@dataclass(frozen=True)
class Problem:
    """An input that is refused: where, and why."""

    property: str
    reason: str


@dataclass
class Changes:
    """Properties that differ: those that Docker can change in place and those that need a new object."""

    updates: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.updates or self.replaces)


def check(kind: ResourceType, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The inputs with their defaults filled in, and every problem found."""
    problems: list[Problem] = []
    checked = _check_object(kind.properties, inputs, "", kind.token, problems)
    return checked, problems


def _check_object(
    properties: Mapping[str, Property],
    values: Mapping[str, Any],
    path: str,
    token: str,
    problems: list[Problem],
) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key in _INTERNAL or value is None:
            continue
        where = f"{path}{key}"
        if key not in properties:
            known = ", ".join(sorted(properties))
            problems.append(
                Problem(
                    where, f"{where} of {token} is not known to the bundled docker plugin; known are {known}"
                )
            )
            continue
        checked[key] = _check_value(properties[key], value, where, token, problems)
    defaulted = []
    for key, expected in properties.items():
        if key in checked:
            continue
        if expected.required:
            problems.append(Problem(f"{path}{key}", f"{path}{key} of {token} is missing"))
        elif expected.default is not None:
            checked[key] = expected.default
            defaulted.append(key)
    checked[DEFAULTS] = sorted(defaulted)
    return checked


def _check_value(expected: Property, given: Any, where: str, token: str, problems: list[Problem]) -> Any:
    if isinstance(given, Unknown):
        return given
    wrong_bool = isinstance(given, bool) and expected.kind == "number"
    if wrong_bool or not isinstance(given, _PYTHON_TYPES[expected.kind]):
        # The value itself stays out of the message: it may be a secret.
        problems.append(
            Problem(where, f"{where} of {token} is a {type(given).__name__}; allowed: {expected.kind}")
        )
        return given
    value: Any = given
    if expected.kind == "object":
        return _check_object(expected.fields, value, f"{where}.", token, problems)
    if expected.kind == "objects":
        return [
            item
            if isinstance(item, Unknown)
            else _check_object(expected.fields, item, f"{where}[{index}].", token, problems)
            for index, item in enumerate(value)
        ]
    return value


def diff(kind: ResourceType, old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """Compare the last known outputs with checked inputs.

    An input that was taken away differs when the object still has a value that isn't the empty one, unless
    the daemon fills that property in by itself.
    """
    changes = Changes()
    for key, expected in kind.properties.items():
        if key in new:
            same = equal(expected, old.get(key), new[key])
        else:
            same = expected.computed or _is_empty(expected, old.get(key))
        if not same:
            (changes.replaces if expected.replace else changes.updates).append(key)
    return changes


def equal(expected: Property, old: Any, new: Any) -> bool:
    """Whether an output has the value that an input asks for. An unknown input is a difference."""
    if new is UNKNOWN or isinstance(new, Unknown):
        return False
    if old is None:
        return _is_empty(expected, new)
    if expected.kind == "object":
        return _equal_fields(expected.fields, old, new)
    if expected.kind == "objects":
        return _equal_lists(expected, old, new)
    if expected.kind == "strings" and expected.unordered:
        return sorted(old) == sorted(new)
    return bool(old == new)


def _equal_fields(fields: Mapping[str, Property], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    for key, expected in fields.items():
        if key in new:
            if not equal(expected, old.get(key), new[key]):
                return False
        elif not expected.computed and not _is_empty(expected, old.get(key)):
            return False
    return True


def _equal_lists(expected: Property, old: list[Any], new: list[Any]) -> bool:
    if len(old) != len(new):
        return False
    if not expected.unordered:
        return all(_equal_fields(expected.fields, a, b) for a, b in zip(old, new, strict=True))
    left = list(old)
    for wanted in new:
        found = next((item for item in left if _equal_fields(expected.fields, item, wanted)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _is_empty(expected: Property, value: Any) -> bool:
    return value in (None, "", [], {}, False) or value in (expected.empty, expected.default)
