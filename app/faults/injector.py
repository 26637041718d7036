"""Decides per request which faults strike, and lets them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from app.faults.causes import Contention
from app.faults.config import CpuFault, DbFault, DependencyFault, Fault


def _no_tables(lookups: int) -> None:
    raise RuntimeError("the fault missing_index needs a database")


@dataclass(frozen=True)
class Causes:
    """How each kind is brought about.

    dependency: a tag and the fault header's value, and for `timeout` the client's patience in seconds.
    lock: rounds and rivals. missing_index: look-ups.
    """

    compute: Callable[[int], object]
    slow_plan: Callable[[int], object]
    dependency: Callable[..., object]
    lock: Callable[[int, int], object] = field(default_factory=lambda: Contention().suffer)
    missing_index: Callable[[int], object] = _no_tables


def _untraced(name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[object]:
    return nullcontext()


class Injector:
    """random: a number in [0, 1) per call. struck: told of kind and mode of each fault that strikes. mark: a
    span around it, which also marks the request's own (tracing gives it)."""

    def __init__(
        self,
        faults: Sequence[Fault],
        causes: Causes,
        random: Callable[[], float],
        struck: Callable[[str, str], None] = lambda kind, mode: None,
        mark: Callable[[str, Mapping[str, Any]], AbstractContextManager[object]] = _untraced,
    ) -> None:
        self._faults = tuple(faults)
        self._causes, self._random, self._struck, self._mark = causes, random, struck, mark

    def set(self, faults: Sequence[Fault]) -> None:
        """From the next request on, let these strike."""
        self._faults = tuple(faults)

    @property
    def any(self) -> bool:
        """Whether a request may be struck at all."""
        return bool(self._faults)

    def strike(self, tag: str, touched: list[str]) -> None:
        """Let the faults that this request draws happen; their kinds are added to `touched` first.

        Raises what the fault makes fail (DependencyFailedError, a database error).
        """
        for fault in self._faults:
            if self._random() < fault.share:
                if fault.kind not in touched:
                    touched.append(fault.kind)
                self._struck(fault.kind, fault.mode)
                with self._mark("fault", {"fault.kind": fault.kind, "fault.mode": fault.mode}):
                    self._cause(fault, tag)

    def _cause(self, fault: Fault, tag: str) -> None:
        match fault:
            case CpuFault(mode="lock", rounds=rounds, threads=threads):
                self._causes.lock(rounds, threads)
            case CpuFault(rounds=rounds):
                self._causes.compute(rounds)
            case DbFault(mode="missing_index", lookups=lookups):
                self._causes.missing_index(lookups)
            case DbFault(rows=rows):
                self._causes.slow_plan(rows)
            case DependencyFault(mode="slow", delay_s=delay_s):
                self._causes.dependency(tag, f"slow;delay_s={delay_s}")
            case DependencyFault(mode="timeout", timeout_s=timeout_s):
                self._causes.dependency(tag, "timeout", timeout_s)
            case DependencyFault():
                self._causes.dependency(tag, "error")
