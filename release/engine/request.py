"""What somebody asked for, checked whole before anything is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.faults.config import ReleaseConfig

#: Semantic version without build metadata (semver.org), since it names a directory and a file.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
WHOLE = "all"
BUILD_TIMEOUT_S = 600


class BadRequest(Exception):
    """One line that names key, value and what is allowed. Nothing was touched."""


class BuildFailed(Exception):
    """The bundle of a version couldn't be built. Nothing was touched."""


@dataclass(frozen=True)
class Request:
    """A release as asked for. `stage` is a step of the profile, or `all`."""

    version: str
    stage: str
    profile: str
    release_config: dict[str, Any] = field(default_factory=dict)


def check_version(value: object) -> str:
    """A semantic version. Raises BadRequest."""
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        raise BadRequest(f"version: {value!r} is not allowed; use a semantic version such as 1.4.0")
    return value


def check_stage(value: object, steps: list[str]) -> str:
    """A step of the profile, or `all`. Raises BadRequest."""
    if value not in (*steps, WHOLE):
        raise BadRequest(f"stage: {value!r} is not a step of the profile; use {', '.join((*steps, WHOLE))}")
    return str(value)


def read_release_config(path: str | None, *, faults_allowed: bool) -> dict[str, Any]:
    """The configuration that ships with the version; {} for none. Raises BadRequest."""
    if not path:
        return {}
    try:
        content = json.loads(Path(path).expanduser().read_text())
    except OSError as error:
        raise BadRequest(f"release_config: {path}: {error.strerror}; use the path of a JSON file") from None
    except ValueError as error:
        raise BadRequest(f"release_config: {path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BadRequest(f"release_config: {path} holds a {type(content).__name__}; use a JSON object")
    if content.get("faults") and not faults_allowed:
        raise BadRequest(f"release_config: {path} has faults, and this environment allows none")
    try:
        ReleaseConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"release_config: {path}: {key} is {first['input']!r}; {first['msg']}") from None
    return content


def bundle_path(state: Path, version: str) -> Path:
    """Where an environment keeps a version's bundle."""
    return state / "bundles" / f"plumbline-app-{version}.tar.gz"


def ensure_bundle(state: Path, version: str, root: Path) -> Path:
    """The version's bundle, built from the checkout at `root` when it isn't there. Raises BuildFailed."""
    bundle = bundle_path(state, version)
    if bundle.is_file():
        return bundle
    bundle.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app.build", "--version", version, "--out", str(bundle.parent)]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"bundle {version}: not built within {BUILD_TIMEOUT_S} s") from None
    if done.returncode != 0 or not bundle.is_file():
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reason = lines[-1] if lines else f"exit {done.returncode}"
        raise BuildFailed(
            f"bundle {version}: {reason}; run: python -m app.build --version {version} --out DIR"
        )
    return bundle
