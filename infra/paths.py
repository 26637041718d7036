"""Where things are: the checkout, the cache, an environment's state, and the pinned tools.

Standard library only, because the set-up imports it before the virtual environment exists.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

INSTANCE_PATTERN = re.compile(r"[a-z0-9]{1,12}")
ENVIRONMENT_PATTERN = re.compile(r"[a-z][a-z0-9]{0,11}")

Version = tuple[int, int, int]


class MissingToolError(LookupError):
    """No usable copy of a tool; the message names the command that gets one."""


def repo_root() -> Path:
    """The checkout that this file belongs to."""
    return Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """What may be deleted and made again: tools, base images, timings. Not created here."""
    if chosen := os.environ.get("PLUMBLINE_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "plumbline"


def state_root() -> Path:
    """The directory that holds one state directory for each environment."""
    if chosen := os.environ.get("PLUMBLINE_STATE"):
        return Path(chosen).expanduser().absolute()
    return Path.home() / ".local" / "state" / "plumbline"


def qualified(env: str, instance: str = "") -> str:
    """`dev` or `dev-<instance>`. Raises ValueError for a name outside the allowed letters."""
    if not ENVIRONMENT_PATTERN.fullmatch(env):
        raise ValueError(f"environment: {env!r} is not allowed; use 1 to 12 of a-z 0-9, a letter first")
    if not instance:
        return env
    if not INSTANCE_PATTERN.fullmatch(instance):
        raise ValueError(f"instance: {instance!r} is not allowed; use 1 to 12 of a-z 0-9")
    return f"{env}-{instance}"


def full_name(env: str, instance: str = "") -> str:
    """The prefix of everything that an environment owns: `plumbline-dev[-<instance>]`."""
    return f"plumbline-{qualified(env, instance)}"


def state_dir(env: str, instance: str = "") -> Path:
    """An environment's private state (mode 0700), created when missing."""
    path = state_root() / qualified(env, instance)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def known_tools() -> list[str]:
    """Names of the tools that the checkout pins."""
    return sorted(path.parent.name for path in (repo_root() / "tools").glob("*/tool.toml"))


def tool_spec(name: str) -> dict[str, Any]:
    """The pin of one tool, as tools/<name>/tool.toml gives it."""
    path = repo_root() / "tools" / name / "tool.toml"
    if not path.is_file():
        raise MissingToolError(f"tool: {name!r} is not pinned; known are {', '.join(known_tools())}")
    return tomllib.loads(path.read_text())


def cached_tool(name: str) -> Path:
    """Where the set-up puts the pinned version. It may not be there yet."""
    return cache_dir() / "tools" / f"{name}-{tool_spec(name)['version']}" / name


def parse_version(text: str) -> Version | None:
    """The first x.y.z in a tool's answer, such as `k6 v1.8.1 (go1.26, linux/amd64)`; None without one."""
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def compatible(version: Version | None, spec: dict[str, Any]) -> bool:
    """Whether a version lies in the tool's `compatible` range: at_least <= version < below."""
    lowest = parse_version(spec["compatible"]["at_least"])
    end = parse_version(spec["compatible"]["below"])
    if version is None or lowest is None or end is None:
        return False
    return lowest <= version < end


@functools.cache
def tool_on_path(name: str) -> Path | None:
    """The copy on PATH when its version fits, else None."""
    found = shutil.which(name)
    if found is None:
        return None
    spec = tool_spec(name)
    try:
        answer = subprocess.run(
            [found, *spec["version_command"]], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if compatible(parse_version(answer.stdout + answer.stderr), spec) else None


def tool(name: str) -> Path:
    """A usable tool: the one on PATH at a compatible version, else the cached one.

    Raises MissingToolError when neither is there.
    """
    if found := tool_on_path(name):
        return found
    cached = cached_tool(name)
    if os.access(cached, os.X_OK):
        return cached
    raise MissingToolError(
        f"{name} {tool_spec(name)['version']} is not there; run: python3 -m tools.setup tools"
    )
