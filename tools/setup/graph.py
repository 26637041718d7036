"""Steps with what each one needs, run side by side wherever nothing speaks against it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

State = Literal["waiting", "running", "done", "failed", "left out"]


@dataclass
class Step:
    """One piece of work.

    `work` does it and returns a short result for people; it raises to fail. `needs` names the steps that must
    have ended well before it.
    """

    name: str
    work: Callable[[], str]
    needs: tuple[str, ...] = ()
    state: State = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    result: str = ""
    error: BaseException | None = field(default=None, repr=False)


def order(steps: Iterable[Step]) -> list[Step]:
    """The steps with every need before its dependant. Raises ValueError for a circle or an unknown need."""
    by_name = {step.name: step for step in steps}
    ordered: dict[str, Step] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"steps: {' -> '.join([*above, name])} goes round in a circle")
        if name not in by_name:
            raise ValueError(f"steps: {above[-1]!r} needs {name!r}, which is not there")
        if name not in ordered:
            for need in by_name[name].needs:
                visit(need, (*above, name))
            ordered[name] = by_name[name]

    for name in by_name:
        visit(name, ())
    return list(ordered.values())


@contextmanager
def _interruptible(on_interrupt: Callable[[], None]) -> Iterator[None]:
    """Ends the running work before the pool waits for it."""
    try:
        yield
    except BaseException:
        on_interrupt()
        raise


def run(
    steps: Iterable[Step],
    workers: int,
    *,
    tick: Callable[[list[Step]], None] = lambda steps: None,
    tick_s: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
    on_interrupt: Callable[[], None] = lambda: None,
) -> bool:
    """Run every step once its needs are done; True when all ended well.

    A step whose need failed is left out; steps that don't depend on it go on. The caller's thread
    calls `tick` whenever a step starts or ends, and at least every `tick_s` seconds. When that thread is
    interrupted, `on_interrupt` must make the running work end; then the interrupt goes on.
    """
    steps = order(steps)
    by_name = {step.name: step for step in steps}
    running: dict[Future[str], Step] = {}

    def attend(step: Step) -> str:
        return step.work()

    with ThreadPoolExecutor(max_workers=workers) as pool, _interruptible(on_interrupt):
        while True:
            for step in steps:
                if step.state != "waiting":
                    continue
                states = [by_name[need].state for need in step.needs]
                if any(state in ("failed", "left out") for state in states):
                    step.state = "left out"
                elif all(state == "done" for state in states) and len(running) < workers:
                    step.state, step.started = "running", clock()
                    running[pool.submit(attend, step)] = step
            tick(steps)
            if not running:
                break
            ended, _ = wait(running, timeout=tick_s, return_when=FIRST_COMPLETED)
            for future in ended:
                step = running.pop(future)
                step.seconds = clock() - step.started
                step.error = future.exception()
                step.state = "failed" if step.error else "done"
                step.result = "" if step.error else future.result()
    return all(step.state == "done" for step in steps)
