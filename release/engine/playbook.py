"""Between the playbooks and the phases: arguments in, a task's result out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from release.engine.phases import EXPECTED, Phases
from release.engine.site import from_inventory


def run(
    phase: str,
    arguments: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    controller: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run one phase. What is expected to go wrong becomes a failed result with one line that says why."""
    known = {"begin", "preflight", "installed", "steps", "verify", "finish", "rollback"}
    if phase not in known:
        return {"failed": True, "msg": f"phase: {phase!r} is not known; use {', '.join(sorted(known))}"}
    try:
        if "plumbline_inventory" not in variables:
            return {"failed": True, "msg": "plumbline_inventory: missing; use an inventory of an environment"}
        phases = Phases(from_inventory(variables["plumbline_inventory"]), controller, say)
        return {"changed": False, **(getattr(phases, phase)(**arguments) or {})}
    except EXPECTED as error:
        return {"failed": True, "msg": str(error)}
    except TypeError as error:
        if "argument" not in str(error):
            raise
        return {"failed": True, "msg": f"{phase}: {error}"}
