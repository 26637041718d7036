"""Decides per request which faults strike, and lets them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.faults.config import CpuFault, DbFault, DependencyFault, Fault


@dataclass(frozen=True)
class Causes:
    """How each kind is brought about. `dependency` gets a tag and the fault header's value."""

    compute: Callable[[int], object]
    slow_plan: Callable[[int], object]
    dependency: Callable[[str, str], object]


class Injector:
    """random: a number in [0, 1) per call. struck: told of each kind that strikes."""

    def __init__(
        self,
        faults: Sequence[Fault],
        causes: Causes,
        random: Callable[[], float],
        struck: Callable[[str], None] = lambda kind: None,
    ) -> None:
        self._faults, self._causes, self._random, self._struck = faults, causes, random, struck

    def strike(self, tag: str, touched: list[str]) -> None:
        """Let the faults that this request draws happen; their kinds are added to `touched` first.

        Raises what the fault makes fail (DependencyFailedError, a database error).
        """
        for fault in self._faults:
            if self._random() < fault.share:
                if fault.kind not in touched:
                    touched.append(fault.kind)
                self._struck(fault.kind)
                self._cause(fault, tag)

    def _cause(self, fault: Fault, tag: str) -> None:
        match fault:
            case CpuFault(rounds=rounds):
                self._causes.compute(rounds)
            case DbFault(rows=rows):
                self._causes.slow_plan(rows)
            case DependencyFault(mode="slow", delay_s=delay_s):
                self._causes.dependency(tag, f"slow;delay_s={delay_s}")
            case DependencyFault():
                self._causes.dependency(tag, "error")
