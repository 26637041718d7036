"""Bad input is refused in one line that names key, value and what is allowed."""

import json

import pytest

from release.engine import request
from release.engine.request import BadRequest


@pytest.mark.parametrize("value", ["1.1", "v1.1.0", "../1.1.0", "1.1.0/x", "01.1.0", "", None, 1.1])
def test_a_version_that_is_no_semantic_version_is_refused(value):
    with pytest.raises(BadRequest, match=r"version: .* semantic version"):
        request.check_version(value)


@pytest.mark.parametrize("value", ["1.4.0", "0.0.1", "2.0.0-rc.1"])
def test_a_semantic_version_passes(value):
    assert request.check_version(value) == value


def test_an_unknown_stage_is_refused_with_the_allowed_ones():
    with pytest.raises(BadRequest, match=r"stage: 'quarter' .* canary, full, all"):
        request.check_stage("quarter", ["canary", "full"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        ('{"faults": [1]}', "allows none"),
    ],
)
def test_a_release_config_that_cannot_be_used_is_refused(tmp_path, content, problem):
    path = tmp_path / "release.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadRequest, match=f"release_config: .*{problem}"):
        request.read_release_config(str(path), faults_allowed=False)


def test_faults_pass_where_the_environment_allows_them(tmp_path):
    path = tmp_path / "release.json"
    config = {"faults": [{"kind": "dependency", "mode": "error", "share": 0.2}]}
    path.write_text(json.dumps(config))
    assert request.read_release_config(str(path), faults_allowed=True) == config


def test_a_fault_that_the_service_does_not_know_is_refused_by_its_key(tmp_path):
    path = tmp_path / "release.json"
    path.write_text(json.dumps({"faults": [{"kind": "gremlins"}]}))
    with pytest.raises(BadRequest, match=r"faults\.0 is .*gremlins"):
        request.read_release_config(str(path), faults_allowed=True)


def test_a_bundle_that_is_there_is_not_built_again(tmp_path):
    bundle = request.bundle_path(tmp_path, "1.0.0")
    bundle.parent.mkdir()
    bundle.write_bytes(b"x")
    assert request.ensure_bundle(tmp_path, "1.0.0", tmp_path / "nowhere") == bundle
