"""Algorithms that make IDs. Pure: time, sleep, randomness and storage come in as arguments.

Every algorithm has the shape of `Algorithm`. Values of different algorithms never meet: segments stay below
2**56, snowflake IDs begin there (app.ids.layout), UUIDs are 128 bits.
"""

from app.ids.model import (
    Algorithm,
    Batch,
    Format,
    Health,
    Id,
    IdsUnavailableError,
    Kind,
    flatten,
)

__all__ = [
    "Algorithm",
    "Batch",
    "Format",
    "Health",
    "Id",
    "IdsUnavailableError",
    "Kind",
    "flatten",
]
