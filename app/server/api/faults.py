"""Faults at run time: see, set, end."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from flask import Blueprint, g
from pydantic import BaseModel, ConfigDict, Field

from app.faults.config import Fault, Faults
from app.faults.switch import FaultSet, described
from app.server import problems
from app.server.operation import operation

GROUP = "Faults"


class Switch(Protocol):
    """The parts of app.faults.switch.FaultSwitch that are used here."""

    @property
    def current(self) -> FaultSet: ...
    @property
    def release(self) -> tuple[Fault, ...]: ...
    def change(self, faults: tuple[Fault, ...], *, by: str, at: datetime) -> FaultSet: ...


class WantedFaults(BaseModel):
    """All faults that shall strike from now on, instead of those set before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: Faults


class ShownFaults(BaseModel):
    """generation grows with each change of `faults`; release: those that the running version brings."""

    allowed: bool = Field(description="whether this environment allows faults at all")
    generation: int = 0
    faults: tuple[Fault, ...] = ()
    set_by: str = ""
    set_at: datetime | None = None
    release: tuple[Fault, ...] = ()


def blueprint(
    switch: Switch | None, now: Callable[[], datetime], record: Callable[..., None] = lambda *a, **k: None
) -> Blueprint:
    """switch: None where the environment forbids faults. record: the audit log's."""
    api = Blueprint("faults", __name__)

    def change(faults: tuple[Fault, ...], action: str) -> ShownFaults:
        if switch is None:
            record(action, "faults", "refused", workspace_id=g.principal.workspace_id, actor=g.principal.name)
            raise problems.of(
                "faults-forbidden", "faults: not allowed here; allowed: PLUMBLINE_FAULTS_ALLOWED=true"
            )
        new = switch.change(faults, by=g.principal.name, at=now())
        detail = {"generation": new.generation, "faults": described(new.faults)}
        record(
            action, "faults", "ok",
            workspace_id=g.principal.workspace_id, actor=g.principal.name, detail=detail,
        )  # fmt: skip
        return _shown(switch, new)

    @api.get("/v1/faults")
    @operation(summary="Which faults are set", scope="operate", answers={200: ShownFaults}, group=GROUP)
    def show() -> ShownFaults:
        return ShownFaults(allowed=False) if switch is None else _shown(switch, switch.current)

    @api.put("/v1/faults")
    @operation(
        summary="Set the faults that strike this server's requests",
        scope="operate",
        body=WantedFaults,
        answers={200: ShownFaults},
        problems=("faults-forbidden", "database-unavailable"),
        group=GROUP,
        description="All processes of the server follow within two seconds. Struck answers have the header "
        "X-Fault-Injected. The faults end with DELETE or with the server.",
    )
    def put(body: WantedFaults) -> ShownFaults:
        return change(body.faults, "faults.set")

    @api.delete("/v1/faults")
    @operation(
        summary="End the faults that were set at run time",
        scope="operate",
        answers={200: ShownFaults},
        problems=("faults-forbidden", "database-unavailable"),
        group=GROUP,
    )
    def delete() -> ShownFaults:
        return change((), "faults.end")

    return api


def _shown(switch: Switch, current: FaultSet) -> ShownFaults:
    return ShownFaults(
        allowed=True,
        generation=current.generation,
        faults=current.faults,
        set_by=current.set_by,
        set_at=current.set_at,
        release=switch.release,
    )
