"""Faults that a release brings along: read, checked, refused where not allowed."""

import json

import pytest

from app import settings as configuration
from app.faults.config import MODES, read_release_config

SLOW = {"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 0.8}


@pytest.fixture
def environment(tmp_path, monkeypatch):
    for key, value in {
        "SLOT": "blue",
        "VERSION": "1.0.0",
        "DATABASE_URL": "postgresql://user:hunter2@db/ids",
        "ETCD_URL": "http://127.0.0.1:2379",
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
        ("DATACENTER", "8", "less than or equal to 7"),
        ("DATABASE_URL", "sqlite:///hunter2", "begins with postgresql"),
        ("WORKERS", "33", "less than or equal to 32"),
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
        ({"faults": [{"kind": "cpu", "mode": "slow", "share": 0.1}]}, "mode: 'slow'"),
        ({"faults": [{"kind": "db", "mode": "missing_index", "share": 1, "lookups": 0}]}, "lookups: 0"),
        ({"faults": [{"kind": "cpu", "share": 0}]}, "share: 0"),
        ({"faults": [SLOW] * 9}, "at most 8"),
    ],
)
def test_a_wrong_release_configuration_is_named(tmp_path, content, says):
    with pytest.raises(ValueError, match=says):
        read_release_config(release_file(tmp_path, content))


def test_a_release_configuration_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="can't be read"):
        read_release_config(tmp_path / "none.json")


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_every_kind_and_mode_can_be_configured_with_only_its_share(tmp_path, kind, mode):
    fault = {"kind": kind, "mode": mode, "share": 0.5}
    [read] = read_release_config(release_file(tmp_path, {"faults": [fault]})).faults
    assert (read.kind, read.mode, read.share) == (kind, mode, 0.5)


def test_a_file_of_before_there_were_modes_means_what_it_meant(tmp_path):
    faults = [{"kind": "cpu", "share": 1, "rounds": 7}, {"kind": "db", "share": 1, "rows": 3000}]
    cpu, db = read_release_config(release_file(tmp_path, {"faults": faults})).faults
    assert (cpu.mode, cpu.rounds) == ("compute", 7)
    assert (db.mode, db.rows) == ("slow_plan", 3000)
