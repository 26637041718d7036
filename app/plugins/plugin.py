"""What a plugin is given, what it must give, and the trial that it passes before it is used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.ids.model import MOST_INT64, Algorithm, Batch, Health, Id
from app.tag_config import TagConfig

TRIAL_IDS = 100


class BrokenPluginError(Exception):
    """A plugin that can't be used. The message names it and says what is wrong."""


@dataclass(frozen=True)
class Context:
    """What a plugin may build on. `worker` is this process's alone in its data centre while it runs.

    `clock_ms`: milliseconds since 1970. `monotonic`: seconds. `random_octets(n)`: n octets from the
    system's generator.
    """

    datacenter: int
    worker: int
    clock_ms: Callable[[], int]
    monotonic: Callable[[], float]
    random_octets: Callable[[int], bytes]


Factory = Callable[[TagConfig, Context], Algorithm]


@dataclass(frozen=True)
class Plugin:
    """`digest` tells one state of the distribution's files from another."""

    name: str
    distribution: str
    version: str
    target: str
    digest: str
    factory: Factory


@dataclass(frozen=True)
class Status:
    """`active`: in use. `outdated`: in use, but what is on disk now is broken. `broken`: not usable."""

    name: str
    distribution: str
    version: str
    target: str
    state: Literal["active", "outdated", "broken"]
    error: str = ""


def tried(name: str, factory: object, context: Context) -> Factory:
    """The factory, after it made some IDs on trial. Raises BrokenPluginError."""
    if not callable(factory):
        raise BrokenPluginError(f"plugin {name}: {factory!r} can't be called; allowed: a factory")
    try:
        made = factory(TagConfig.model_validate({"algorithm": name}), context)
        kind = made.kind
        if kind not in ("int64", "uuid"):
            raise BrokenPluginError(f"plugin {name}: kind: {kind!r} is not allowed; allowed: int64, uuid")
        if not isinstance(health := made.health(), Health):
            raise BrokenPluginError(f"plugin {name}: health() gave {health!r}; allowed: a Health")
        dict(made.metrics())
        if health.can_issue:
            _issue(name, made)
    except BrokenPluginError:
        raise
    except Exception as error:
        raise BrokenPluginError(f"plugin {name}: {type(error).__name__}: {error}") from error
    return factory


def _issue(name: str, algorithm: Algorithm) -> None:
    one, batch = algorithm.generate(), algorithm.batch(TRIAL_IDS)
    if not isinstance(one, Id) or not isinstance(batch, Batch):
        raise BrokenPluginError(
            f"plugin {name}: generate() and batch() gave {type(one).__name__} and {type(batch).__name__}; "
            "allowed: Id and Batch"
        )
    ids = [one, *batch.ids()]
    if len(ids) != TRIAL_IDS + 1 or len(set(ids)) != len(ids):
        raise BrokenPluginError(
            f"plugin {name}: {len(set(ids))} distinct IDs where {TRIAL_IDS + 1} were asked for"
        )
    most = MOST_INT64 if algorithm.kind == "int64" else (1 << 128) - 1
    if wrong := [value for value in ids if value.kind != algorithm.kind or not 0 <= value.value <= most]:
        raise BrokenPluginError(f"plugin {name}: {wrong[0]!r} is not an ID of kind {algorithm.kind}")
