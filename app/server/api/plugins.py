"""/v1/plugins: algorithms from other distributions."""

from collections.abc import Callable
from typing import Literal

from flask import Blueprint, g
from pydantic import BaseModel, Field

from app.administration.names import actor
from app.plugins.registry import Registry
from app.server.operation import operation

_GROUP = "Plugins"


class PluginView(BaseModel):
    """A plugin. `outdated`: in use, but what is installed now is broken. `broken`: not usable."""

    name: str = Field(description="what a tag names as its algorithm")
    distribution: str
    version: str
    target: str
    state: Literal["active", "outdated", "broken"]
    error: str


class Plugins(BaseModel):
    """What this process knows."""

    items: list[PluginView]


class Reloaded(BaseModel):
    """What the process that answers found; the server's others follow within 5 s."""

    outcome: Literal["ok", "error"]
    changed: list[str]
    removed: list[str]
    errors: list[str]
    seconds: float
    items: list[PluginView]


def blueprint(registry: Registry, announce: Callable[[], object]) -> Blueprint:
    """announce(): makes the server's other processes reload (app.plugins.generation.Watcher)."""
    api = Blueprint("plugins", __name__)

    def items() -> list[PluginView]:
        return [PluginView.model_validate(vars(status)) for status in registry.statuses()]

    @api.get("/v1/plugins")
    @operation(summary="List plugins", scope="read", answers={200: Plugins}, group=_GROUP)
    def page() -> Plugins:
        return Plugins(items=items())

    @api.post("/v1/plugins:reload")
    @operation(
        summary="Look for plugins again",
        scope="operate",
        answers={200: Reloaded},
        group=_GROUP,
        description="A broken plugin changes nothing: the one in use stays.",
    )
    def reload() -> Reloaded:
        done = registry.reload(actor(g.principal))
        announce()
        return Reloaded.model_validate({**vars(done), "items": items()}, from_attributes=True)

    return api
