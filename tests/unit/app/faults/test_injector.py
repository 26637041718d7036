"""Faults strike the drawn share by their real cause, and mark what they touch."""

import itertools
import time

import pytest
from flask import Flask, g
from pydantic import TypeAdapter

from app.faults import causes
from app.faults.causes import Contention, compute
from app.faults.config import Faults
from app.faults.injector import Causes, Injector
from app.server.admission import Admission
from app.server.operation import install


def faults(*described):
    return TypeAdapter(Faults).validate_python(described)


class Suffered:
    """Causes that only say that they were called."""

    def __init__(self):
        self.all, self.struck = [], []

    def _told(self, name):
        return lambda *arguments: self.all.append((name, *arguments))

    def injector(self, *described, draw=lambda: 0.0):
        causes = Causes(
            compute=self._told("compute"),
            slow_plan=self._told("slow_plan"),
            dependency=self._told("dependency"),
            lock=self._told("lock"),
            missing_index=self._told("missing_index"),
        )
        return Injector(faults(*described), causes, draw, lambda kind, mode: self.struck.append((kind, mode)))


@pytest.fixture
def suffered():
    return Suffered()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"kind": "cpu", "rounds": 7}, ("compute", 7)),
        ({"kind": "cpu", "mode": "lock", "rounds": 9, "threads": 3}, ("lock", 9, 3)),
        ({"kind": "db", "rows": 50}, ("slow_plan", 50)),
        ({"kind": "db", "mode": "missing_index", "lookups": 2}, ("missing_index", 2)),
        ({"kind": "dependency", "mode": "slow", "delay_s": 0.8}, ("dependency", "tag", "slow;delay_s=0.8")),
        ({"kind": "dependency", "mode": "timeout", "timeout_s": 1.5}, ("dependency", "tag", "timeout", 1.5)),
        ({"kind": "dependency", "mode": "error"}, ("dependency", "tag", "error")),
    ],
)
def test_each_mode_has_its_cause_with_its_intensity(suffered, fault, cause):
    touched = []
    suffered.injector({**fault, "share": 1}).strike("tag", touched)
    assert suffered.all == [cause]
    assert touched == [fault["kind"]]
    assert suffered.struck == [
        (fault["kind"], fault.get("mode", {"cpu": "compute"}.get(fault["kind"], "slow_plan")))
    ]


def test_the_drawn_share_suffers_and_the_rest_is_untouched(suffered):
    draws = itertools.cycle([0.0, 0.29, 0.3, 0.9])
    injector = suffered.injector({"kind": "cpu", "share": 0.3}, draw=lambda: next(draws))
    touched = []
    for _ in range(8):
        mine = []
        injector.strike("tag", mine)
        touched.append(mine)
    assert touched == [["cpu"], ["cpu"], [], []] * 2


def test_two_faults_of_one_request_are_both_named_once(suffered):
    touched = []
    suffered.injector(
        {"kind": "cpu", "share": 1},
        {"kind": "cpu", "mode": "lock", "share": 1},
        {"kind": "db", "share": 1},
    ).strike("tag", touched)
    assert touched == ["cpu", "db"]
    assert suffered.struck == [("cpu", "compute"), ("cpu", "lock"), ("db", "slow_plan")]


def test_a_failing_fault_is_named_before_it_fails():
    def fails(tag, fault):
        raise ConnectionError

    injector = Injector(
        faults({"kind": "dependency", "mode": "error", "share": 1}),
        Causes(compute, compute, fails),
        lambda: 0.0,
    )
    touched = []
    with pytest.raises(ConnectionError):
        injector.strike("tag", touched)
    assert touched == ["dependency"]


def test_faults_set_later_replace_those_before(suffered):
    injector = suffered.injector({"kind": "db", "share": 1})
    assert injector.any
    injector.set(faults({"kind": "cpu", "share": 1, "rounds": 3}))
    injector.strike("tag", [])
    assert suffered.all == [("compute", 3)]
    injector.set(())
    assert not injector.any


def test_the_answer_of_a_struck_request_says_so_in_its_header(suffered):
    app = Flask("test")
    install(app, admission=Admission(lambda token: None))
    injector = suffered.injector({"kind": "cpu", "share": 1}, {"kind": "db", "share": 1})

    @app.get("/")
    def view():
        g.touched = []
        injector.strike("tag", g.touched)
        return "ok"

    @app.get("/clean")
    def clean():
        return "ok"

    http = app.test_client()
    assert http.get("/").headers["X-Fault-Injected"] == "cpu,db"
    assert "X-Fault-Injected" not in http.get("/clean").headers


def test_without_a_database_a_missing_index_is_said_to_need_one():
    injector = Injector(
        faults({"kind": "db", "mode": "missing_index", "share": 1}),
        Causes(compute, compute, compute),
        lambda: 0.0,
    )
    with pytest.raises(RuntimeError, match="missing_index"):
        injector.strike("tag", [])


def test_the_cpu_fault_computes_in_proportion():
    def cost(rounds: int) -> float:
        started = time.process_time()
        compute(rounds)
        return time.process_time() - started

    assert cost(200_000) > 3 * cost(20_000)


def test_contended_work_is_waited_for_and_not_computed_by_the_request():
    contention = Contention()

    def suffered(rounds, threads):
        """Wall and own CPU time; the longest of some, since the turn is a matter of luck."""
        worst = (0.0, 0.0)
        for _ in range(5):
            wall, own = time.perf_counter(), time.thread_time()
            contention.suffer(rounds, threads)
            worst = max(worst, (time.perf_counter() - wall, time.thread_time() - own))
        return worst

    alone, _ = suffered(100_000, 1)
    rivals, own = suffered(1_600_000, 31)  # the same part for each: 50,000 rounds
    assert rivals > 4 * alone, "sixteen times the rivals, each with the same work under the lock"
    assert own < rivals / 3, "the time passes in waiting for the lock"


def test_the_contended_work_gives_up_the_interpreter_so_that_only_the_lock_serialises():
    # hashlib's documented limit: it lets other threads run while it hashes more than 2047 octets.
    assert len(causes._BLOCK) > 2047
