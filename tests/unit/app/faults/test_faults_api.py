"""PUT, GET and DELETE /v1/faults."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from flask import Flask

from app.faults.switch import FaultSwitch
from app.server.admission import Admission
from app.server.api.faults import blueprint
from app.server.operation import install

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WANTED = {"faults": [{"kind": "cpu", "mode": "lock", "share": 0.5, "rounds": 1000}]}


class Calls:
    def __init__(self, tmp_path, *, allowed=True, scopes=("operate",)):
        self.active, self.recorded = (), []
        self.tables = SimpleNamespace(ensure=self._ensure, drop=lambda: None)
        self.database_away = False
        switch = FaultSwitch(
            tmp_path / "faults.json",
            server="1-1",
            set_=lambda new: setattr(self, "active", new),
            tables=self.tables,
        )
        principal = SimpleNamespace(key_id=1, workspace_id=7, name="drill", scopes=frozenset(scopes))
        app = Flask("test")
        self.problems = []
        install(app, admission=Admission(lambda token: principal), problem=self.problems.append)
        app.register_blueprint(blueprint(switch if allowed else None, lambda: AT, self._record))
        self.http = app.test_client()

    def _ensure(self):
        if self.database_away:
            from sqlalchemy.exc import OperationalError

            raise OperationalError("x", {}, Exception())

    def _record(self, action, target, result, *, workspace_id=None, actor="", detail=None):
        self.recorded.append((action, result, workspace_id, actor))

    def call(self, method, body=None, token="plk_x"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.open("/v1/faults", method=method, json=body, headers=headers)


@pytest.fixture
def calls(tmp_path):
    return lambda **more: Calls(tmp_path, **more)


def test_faults_are_set_shown_and_ended(calls):
    calls = calls()
    assert calls.call("GET").json == {
        "allowed": True, "generation": 0, "faults": [], "set_by": "", "set_at": None, "release": []
    }  # fmt: skip
    answer = calls.call("PUT", WANTED)
    assert answer.status_code == 200
    assert answer.json["generation"] == 1
    assert answer.json["set_by"] == "drill"
    assert answer.json["faults"][0]["threads"] == 8, "shown with what was left to its default"
    assert calls.call("GET").json == answer.json
    assert [fault.mode for fault in calls.active] == ["lock"]
    assert calls.call("DELETE").json["faults"] == []
    assert calls.active == ()
    assert calls.recorded == [("faults.set", "ok", 7, "drill"), ("faults.end", "ok", 7, "drill")]


@pytest.mark.parametrize(("method", "body"), [("PUT", WANTED), ("DELETE", None)])
def test_where_faults_are_forbidden_nobody_sets_them(calls, method, body):
    calls = calls(allowed=False)
    answer = calls.call(method, body)
    assert answer.status_code == 403
    assert answer.json["type"] == "/problems/faults-forbidden"
    assert calls.problems == ["faults-forbidden"]
    assert calls.call("GET").json["allowed"] is False
    assert calls.recorded[0][1] == "refused"


def test_a_key_without_the_scope_or_no_key_sets_nothing(calls):
    calls = calls(scopes=("issue", "admin"))
    assert calls.call("PUT", WANTED).json["type"] == "/problems/scope-missing"
    assert calls.call("PUT", WANTED, token=None).status_code == 401
    assert calls.active == ()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "faults: missing"),
        ({"faults": [{"kind": "cpu", "share": 2}]}, "share: 2"),
        ({"faults": [{"kind": "disk", "share": 1}]}, "faults.0"),
        (
            {"faults": [{"kind": "dependency", "mode": "timeout", "share": 1, "timeout_s": 60}]},
            "timeout_s: 60",
        ),
        ({"faults": [WANTED["faults"][0]] * 9}, "at most 8"),
        ({"faults": [], "forever": True}, "forever"),
    ],
)
def test_a_wrong_fault_is_named_and_nothing_changes(calls, body, says):
    calls = calls()
    answer = calls.call("PUT", body)
    assert answer.status_code == 400
    assert says in answer.json["detail"]
    assert calls.call("GET").json["generation"] == 0


def test_a_fault_that_the_database_refuses_is_not_set(calls):
    calls = calls()
    calls.database_away = True
    answer = calls.call("PUT", {"faults": [{"kind": "db", "mode": "missing_index", "share": 1}]})
    assert answer.json["type"] == "/problems/database-unavailable"
    assert calls.active == ()
