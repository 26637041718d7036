"""Independent steps run at once; what depends on a failed one doesn't run."""

from __future__ import annotations

import threading

import pytest

from tools.setup import graph
from tools.setup.graph import Step


def test_independent_steps_run_at_the_same_time() -> None:
    both = threading.Barrier(
        2, timeout=10
    )  # breaks, and fails the test, unless both steps are inside at once

    def meet() -> str:
        both.wait()
        return "met"

    assert graph.run([Step("left", meet), Step("right", meet)], workers=2)


def test_a_step_starts_only_after_what_it_needs() -> None:
    seen: list[str] = []

    def note(name: str) -> str:
        seen.append(name)
        return name

    steps = [
        Step("roof", lambda: note("roof"), ("walls",)),
        Step("walls", lambda: note("walls"), ("ground",)),
        Step("ground", lambda: note("ground")),
    ]
    assert graph.run(steps, workers=3)
    assert seen == ["ground", "walls", "roof"]


def test_dependants_of_a_failed_step_are_left_out_and_others_go_on() -> None:
    def fail() -> str:
        raise RuntimeError("no ground")

    steps = [
        Step("ground", fail),
        Step("walls", lambda: "up", ("ground",)),
        Step("roof", lambda: "on", ("walls",)),
        Step("garden", lambda: "green"),
    ]
    assert not graph.run(steps, workers=2)
    assert {step.name: step.state for step in steps} == {
        "ground": "failed",
        "walls": "left out",
        "roof": "left out",
        "garden": "done",
    }
    assert str(steps[0].error) == "no ground"


def test_a_circle_and_an_unknown_need_are_refused() -> None:
    with pytest.raises(ValueError, match="a -> b -> a goes round in a circle"):
        graph.run([Step("a", str, ("b",)), Step("b", str, ("a",))], workers=1)
    with pytest.raises(ValueError, match="'a' needs 'gone'"):
        graph.run([Step("a", str, ("gone",))], workers=1)


def test_an_interrupt_ends_the_running_work_before_it_goes_on() -> None:
    release = threading.Event()

    def interrupt(steps: list[Step]) -> None:
        if steps[0].state == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph.run(
            [Step("long", lambda: str(release.wait(10)))], workers=1, tick=interrupt, on_interrupt=release.set
        )
    assert release.is_set()
