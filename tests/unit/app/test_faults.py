"""Injected faults: declared, refused where not allowed, marked on every answer they touch."""

import itertools
import json
import time

import pytest

from app import settings as configuration
from app.faults.causes import compute
from app.faults.config import read_release_config

SLOW = {"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 0.8}
ERROR = {"kind": "dependency", "mode": "error", "share": 0.5}


@pytest.fixture
def environment(tmp_path, monkeypatch):
    for key, value in {
        "SLOT": "blue",
        "VERSION": "1.0.0",
        "DATABASE_URL": "postgresql://user:hunter2@db/ids",
        "HOST_INDEX": "3",
        "RUNTIME_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(f"PLUMBLINE_{key}", value)
    return monkeypatch


def release_file(tmp_path, content):
    path = tmp_path / "release.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_faults_where_they_are_not_allowed_keep_the_service_from_starting(environment, tmp_path):
    environment.setenv("PLUMBLINE_RELEASE_CONFIG", str(release_file(tmp_path, {"faults": [SLOW]})))
    with pytest.raises(configuration.BadSettingsError, match=r"PLUMBLINE_FAULTS_ALLOWED: false.*dependency"):
        configuration.load()
    environment.setenv("PLUMBLINE_FAULTS_ALLOWED", "true")
    _, release = configuration.load()
    assert release.faults[0].delay_s == 0.8


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("SLOT", "red", "'blue' or 'green'"),
        ("VERSION", "1.0", "semantic version"),
        ("HOST_INDEX", "32", "less than or equal to 31"),
        ("DATACENTER", "8", "less than or equal to 7"),
        ("DATABASE_URL", "sqlite:///hunter2", "begins with postgresql"),
        ("WORKERS", "5", "less than or equal to 4"),
        ("FAULTS_ALLOWED", "perhaps", "bool"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(environment, key, value, says):
    environment.setenv(f"PLUMBLINE_{key}", value)
    with pytest.raises(configuration.BadSettingsError) as error:
        configuration.load()
    assert f"PLUMBLINE_{key}:" in str(error.value)
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_missing_setting_is_named(environment):
    environment.delenv("PLUMBLINE_DATABASE_URL")
    with pytest.raises(configuration.BadSettingsError, match="PLUMBLINE_DATABASE_URL: Field required"):
        configuration.load()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ({"fault": []}, "fault"),
        ({"faults": [{"kind": "disk", "share": 1}]}, "faults.0"),
        ({"faults": [{**SLOW, "share": 1.5}]}, "share: 1.5"),
        ({"faults": [{**SLOW, "delay_s": 60}]}, "delay_s: 60"),
        ({"faults": [{"kind": "cpu", "share": 0.1, "sleep": 1}]}, "sleep"),
    ],
)
def test_a_wrong_release_configuration_is_named(tmp_path, content, says):
    with pytest.raises(ValueError, match=says):
        read_release_config(release_file(tmp_path, content))


def test_a_release_configuration_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="can't be read"):
        read_release_config(tmp_path / "none.json")


def test_the_drawn_share_suffers_and_is_marked_and_the_rest_is_untouched(service_with):
    draws = itertools.cycle([0.1, 0.9])
    service = service_with([ERROR], draw=lambda: next(draws))
    answers = [service.http.post("/v1/ids/events") for _ in range(10)]
    assert [a.status_code for a in answers] == [503, 200] * 5
    assert [a.headers.get("X-Fault-Injected") for a in answers] == ["dependency", None] * 5
    assert service.metric('idgen_faults_injected_total{kind="dependency"') == 5
    assert service.metric('idgen_faults_active{kind="dependency",mode="error"') == 0.5


def test_a_slow_dependency_is_asked_to_be_slow_and_the_answer_is_marked_and_good(service_with):
    service = service_with([SLOW])
    answer = service.http.post("/v1/ids/events")
    assert answer.status_code == 200
    assert answer.headers["X-Fault-Injected"] == "dependency"
    assert service.downstream.asked == ["slow;delay_s=0.8"]


def test_two_faults_of_one_request_are_both_named(service_with):
    service = service_with([{"kind": "cpu", "share": 1, "rounds": 7}, SLOW])
    assert service.http.post("/v1/ids/events").headers["X-Fault-Injected"] == "cpu,dependency"
    assert service.computed == [7]


def test_faults_leave_health_and_metrics_alone(service_with):
    service = service_with([ERROR, {"kind": "cpu", "share": 1}])
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = service.http.get(path)
        assert answer.status_code == 200
        assert "X-Fault-Injected" not in answer.headers


def test_the_cpu_fault_computes_in_proportion():
    def cost(rounds: int) -> float:
        started = time.process_time()
        compute(rounds)
        return time.process_time() - started

    assert cost(200_000) > 3 * cost(20_000)
