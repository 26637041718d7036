"""Pinned tools by three routes: on PATH, the official release, or built from the pinned Go module.

Each lands in the cache under its version, moved there in one piece, so that other checkouts find it too.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from infra import paths
from tools.setup import downloads, packages
from tools.setup.shell import Log, SetupError, scratch

ROUTE = "ROUTE"
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# From this version on Go reads the go.mod files of today; an older one only fetches a newer Go.
OLDEST_BUILDING_GO = (1, 21, 0)


def ready(name: str) -> str | None:
    """Where a usable tool is, for people, or None."""
    if found := paths.tool_on_path(name):
        return f"on PATH at {found}"
    cached = paths.cached_tool(name)
    if os.access(cached, os.X_OK):
        route = cached.with_name(ROUTE)
        return f"cached, {route.read_text().strip()}" if route.is_file() else "cached"
    return None


def acquire(name: str, log: Log) -> str:
    """Make a tool usable and say by which route. Raises SetupError when none leads there."""
    if found := ready(name):
        return found
    spec = paths.tool_spec(name)
    target = paths.cached_tool(name).parent
    with log.only_one(f"tool-{name}"):
        if found := ready(name):
            return found
        with scratch(target.parent, name) as folder:
            fresh = folder / target.name
            fresh.mkdir()
            try:
                downloads.official(name, spec, fresh, log)
                route = "the official release, checksum verified"
            except downloads.UnreachableError as reason:
                log.say(
                    f"no official release ({reason}); building {name} {spec['version']} from its Go module"
                )
                shutil.rmtree(fresh)
                fresh.mkdir()
                build(name, spec, fresh, log)
                route = "built from its Go module"
            prove(fresh / name, name, spec)
            (fresh / ROUTE).write_text(route + "\n")
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
    return route


def prove(binary: Path, name: str, spec: dict[str, Any]) -> None:
    """Run a fresh tool once. Raises SetupError unless it says the pinned version."""
    asked = subprocess.run(
        [str(binary), *spec["version_command"]], capture_output=True, text=True, timeout=60, check=False
    )
    said = paths.parse_version(asked.stdout + asked.stderr)
    if said != paths.parse_version(spec["version"]):
        raise SetupError(f"{name}: {spec['version']} was wanted, but the new binary says {said}")


def go_version(go: str) -> paths.Version:
    """The version of a Go command; 0.0.0 when it says none. `go1.25` counts as 1.25.0."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    asked = subprocess.run(
        [go, "version"], capture_output=True, text=True, env=environment, timeout=30, check=False
    )
    word = next((word for word in asked.stdout.split() if word.startswith("go1")), "go0.0")
    return paths.parse_version(word[2:]) or paths.parse_version(word[2:] + ".0") or (0, 0, 0)


def wanted_go(name: str) -> paths.Version:
    """The Go that a tool's go.mod asks for."""
    for line in (paths.repo_root() / "tools" / name / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return paths.parse_version(line) or paths.parse_version(line + ".0") or OLDEST_BUILDING_GO
    return OLDEST_BUILDING_GO


def find_go(name: str, log: Log) -> str:
    """A Go that is new enough to build a tool: this machine's, or a newer one that it fetches."""
    go = shutil.which("go")
    if go is None:
        need = packages.Need("golang-go", f"{name} has to be built, as no other route leads to it")
        if packages.installing_allowed():
            packages.announce([need])
        packages.install([need], log)
        go = shutil.which("go")
        if go is None:
            raise SetupError("go: not found even after golang-go was installed", "put a go >= 1.21 on PATH")
    if go_version(go) >= wanted_go(name):
        return go
    return newer_go(go, log)


def newer_go(go: str, log: Log) -> str:
    """The pinned Go toolchain, which any older Go can fetch as a module (checked by its sum)."""
    pin = tomllib.loads((paths.repo_root() / "tools" / "go" / "toolchain.toml").read_text())
    kind = f"linux-{GO_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    module = f"golang.org/toolchain@v0.0.1-go{pin['version']}.{kind}"
    log.say(f"fetching Go {pin['version']}, as this machine's is older than the tools ask for")
    with log.only_one("go-toolchain"):
        asked = subprocess.run(
            [go, "mod", "download", "-json", module],
            cwd=paths.cache_dir(),
            env={**os.environ, "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GO111MODULE": "on"},
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answer = json.loads(asked.stdout)
        except ValueError:
            answer = {"Error": asked.stderr.strip() or "no answer"}
        if error := answer.get("Error"):
            raise SetupError(f"go: cannot fetch {module}: {error}", f"put a go >= {pin['version']} on PATH")
        promised = pin["sums"].get(kind, answer["Sum"])
        if answer["Sum"] != promised:
            raise SetupError(
                f"go: {module} has the sum {answer['Sum']}, but {promised} was promised; it is not used"
            )
        root = Path(answer["Dir"])
        make_executable(root)
    return str(root / "bin" / "go")


def make_executable(root: Path) -> None:
    """Give back the permission to run, which module archives don't carry."""
    root.chmod(0o755)
    for folder in ("bin", f"pkg/tool/linux_{GO_ARCHITECTURES.get(platform.machine(), '')}"):
        for path in (root / folder).glob("*"):
            if path.is_file() and not path.stat().st_mode & stat.S_IXUSR:
                path.chmod(0o755)


def build(name: str, spec: dict[str, Any], target: Path, log: Log) -> None:
    """Build a tool from tools/<name>/go.mod into `target`. go.sum checks everything that is fetched."""
    go = find_go(name, log)
    log.say(f"building {name} {spec['version']} (about {spec['build']['expected_minutes']} min on two cores)")
    log.run(
        [
            *(go, "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
            *("-ldflags", spec["build"]["ldflags"].format(version=spec["version"])),
            *("-o", str(target / name), spec["build"]["package"]),
        ],
        cwd=paths.repo_root() / "tools" / name,
        env={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
