"""What to do after a tick: promote, extend, hold or roll back. Pure: same input, same answer."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from release.gates import GateEvidence, GatePlan, StepEvidence
from release.plan import StepPlan, duration

Action = Literal["promote", "extend", "hold", "rollback"]


class Decision(BaseModel):
    """reason: why, in numbers. awaits: what would decide it ("" once it is decided)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    reason: str
    awaits: str = ""


def decide(step: StepPlan, evidence: StepEvidence, elapsed_s: float) -> Decision:
    """The decision after the last tick in `evidence`; elapsed_s is how long the window has run.

    A gate that has rejected rolls back at once. Nothing else acts on a look without an answer: no data
    and could-not-ask only extend, up to the longest wait, where the profile's on_inconclusive decides.
    A blind window is never promoted, whatever the profile says: it holds.
    """
    pairs = list(zip(step.gates, evidence.gates, strict=True))
    if rejecting := [(plan, gate) for plan, gate in pairs if gate.rejected]:
        return Decision(
            action="rollback", reason="; ".join(_rejection(*pair) for pair in _strongest(rejecting))
        )
    missing = _missing(step, evidence, pairs, elapsed_s)
    if not missing:
        return Decision(action="promote", reason="; ".join(_health(*p) for p in pairs if p[0].decides_health))
    if elapsed_s < step.longest_s:
        left = f"at {duration(step.longest_s)} {step.on_inconclusive}"
        return Decision(action="extend", reason=_numbers(evidence, pairs), awaits="; ".join([*missing, left]))
    return _inconclusive(step, evidence, missing)


def _missing(
    step: StepPlan, evidence: StepEvidence, pairs: list[tuple[GatePlan, GateEvidence]], elapsed_s: float
) -> list[str]:
    """What promotion still waits for."""
    missing = []
    if evidence.last == "unreachable":
        missing.append(f"an answer (could not ask: {evidence.last_why})")
    elif evidence.last != "sample":
        missing.append(f"figures (no data{': ' + evidence.last_why if evidence.last_why else ''})")
    if evidence.samples < step.min_samples:
        missing.append(f"{step.min_samples - evidence.samples} more requests (of {step.min_samples})")
    if elapsed_s < step.shortest_s:
        missing.append(f"{duration(step.shortest_s)} to pass")
    for plan, gate in pairs:
        if plan.decides_health and not gate.healthy:
            missing.append(
                f"{gate.name}: e for health {_e(gate.log_e_health or 0.0)} of {1 / plan.health_alpha:.4g}"
            )
    return missing


def _inconclusive(step: StepPlan, evidence: StepEvidence, missing: list[str]) -> Decision:
    """The longest wait is over without evidence either way."""
    action: Action = step.on_inconclusive
    why = f"inconclusive after {duration(step.longest_s)}, still missing: {'; '.join(missing)}"
    if action == "promote" and (evidence.last != "sample" or evidence.samples < step.min_samples):
        return Decision(action="hold", reason=f"{why}; too little was seen to promote, so it holds")
    return Decision(action=action, reason=f"{why}; on_inconclusive says {action}")


def _strongest(pairs: list[tuple[GatePlan, GateEvidence]]) -> list[tuple[GatePlan, GateEvidence]]:
    return sorted(pairs, key=lambda p: p[1].highest_log_e_harm + math.log(p[0].alpha), reverse=True)


def _rejection(plan: GatePlan, gate: GateEvidence) -> str:
    e = f"e {_e(gate.highest_log_e_harm)} >= {1 / plan.alpha:.4g}"
    return f"{_seen(plan, gate)}, {_bound(plan)} ({gate.name}: {e})"


def _health(plan: GatePlan, gate: GateEvidence) -> str:
    e = f"e for health {_e(gate.log_e_health or 0.0)} >= {1 / plan.health_alpha:.4g}"
    return f"{_seen(plan, gate)}, {_bound(plan)} ({gate.name}: {e})"


def _seen(plan: GatePlan, gate: GateEvidence) -> str:
    what = "failed" if plan.gate.sli == "errors" else f"slower than {plan.gate.slower_than_s:g} s"
    said = f"{gate.bad} of {gate.requests} requests {what}{_rate(gate.bad, gate.requests)}"
    if plan.gate.kind == "relative":
        said += f" against {gate.control_bad} of {gate.control_requests}"
        said += f"{_rate(gate.control_bad, gate.control_requests)} of the control"
    return said


def _bound(plan: GatePlan) -> str:
    if plan.gate.kind == "relative":
        return f"at most {plan.gate.threshold:g} times the control's rate allowed"
    return f"at most {plan.gate.threshold * 100:g} % allowed"


def _rate(bad: int, requests: int) -> str:
    return f" ({bad / requests:.2%})".replace("%", " %") if requests else ""


def _numbers(evidence: StepEvidence, pairs: list[tuple[GatePlan, GateEvidence]]) -> str:
    """One line of figures for a tick."""
    parts = [f"{evidence.samples} requests"]
    for plan, gate in pairs:
        text = f"{gate.name} {gate.bad}/{gate.requests} e {_e(gate.log_e_harm)}/{1 / plan.alpha:.4g}"
        if gate.log_e_health is not None:
            text += f" health {_e(gate.log_e_health)}/{1 / plan.health_alpha:.4g}"
        parts.append(text)
    return ", ".join(parts)


def _e(log_e: float) -> str:
    """An e-value from its logarithm, short."""
    if log_e > math.log(1e6):
        return f"1e{log_e / math.log(10):.0f}"
    e = math.exp(log_e)
    return f"{e:.0f}" if e >= 100 else f"{e:.2g}"
