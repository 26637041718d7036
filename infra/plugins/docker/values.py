"""Pulumi's property values as plain Python, and back.

Plain values are str, int, float, bool, None, list and dict; UNKNOWN stands for what is only known after an
update. Which parts were secret is kept beside the plain value as paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue, ResourceReference


class Unknown:
    """A value that an update will give."""

    def __repr__(self) -> str:
        return "(known after up)"


UNKNOWN = Unknown()


def to_plain(value: PropertyValue) -> Any:
    """The value without its marks. Whole numbers become int, as Docker wants them."""
    raw = value.value
    if isinstance(raw, Computed):
        return UNKNOWN
    if isinstance(raw, (str, bool)) or raw is None:
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else raw
    if isinstance(raw, Mapping):
        return {key: to_plain(item) for key, item in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [to_plain(item) for item in raw]
    if isinstance(raw, ResourceReference):
        return raw.urn
    raise TypeError(f"a value of type {type(raw).__name__} is not supported by the bundled docker plugin")


def from_plain(value: Any) -> PropertyValue:
    """The property value of a plain value, with no secrets in it."""
    if isinstance(value, Unknown):
        return PropertyValue.computed()
    if isinstance(value, (bool, str)) or value is None:
        return PropertyValue(value)
    if isinstance(value, (int, float)):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue({key: from_plain(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return PropertyValue([from_plain(item) for item in value])
    raise TypeError(f"{type(value).__name__} can't be a property value")


def plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """Plain values of a resource's properties."""
    return {key: to_plain(value) for key, value in values.items()}


def property_map(
    values: Mapping[str, Any], *secret_in: Mapping[str, PropertyValue]
) -> dict[str, PropertyValue]:
    """Property values of plain ones. What was secret in any of `secret_in` is secret here too.

    A secret inside a property makes the whole property secret: better too much than too little, and the
    lists of outputs need not have the order of the inputs.
    """
    result = {key: from_plain(value) for key, value in values.items()}
    for key in set(secret_keys(*secret_in)) & set(result):
        result[key] = result[key].with_secret(True)
    return result


def secret_keys(*maps: Mapping[str, PropertyValue]) -> Iterator[str]:
    """Names of the properties that are secret or hold a secret."""
    for values in maps:
        yield from (key for key, value in values.items() if value.contains_secret())
