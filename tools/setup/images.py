"""Container images, built on this machine and named by their content.

A tag is a hash over an image's own files, its parent's tag and the tools that it carries: the same tag is the
same recipe, so an image is built only when its tag is missing, and a change in `base` renames every child.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from infra import paths
from tools.setup.shell import scratch

SUITE = "trixie"
REPOSITORY = "plumbline"
ROOTFS = "rootfs.tar"

Runner = Callable[[list[str]], None]


class UnknownImageError(LookupError):
    """An image name that images/ has no folder for."""


def folder() -> Path:
    """Where the recipes are."""
    return paths.repo_root() / "images"


def names() -> list[str]:
    """Every image, parents before children."""
    found = [path.parent.name for path in folder().glob("*/Dockerfile")]
    return sorted(found, key=lambda name: (len(lineage(name)), name))


def recipe(name: str) -> str:
    """The text of an image's Dockerfile."""
    path = folder() / name / "Dockerfile"
    if not path.is_file():
        known = ", ".join(sorted(item.parent.name for item in folder().glob("*/Dockerfile")))
        raise UnknownImageError(f"image: {name!r} is not known; known are {known}")
    return path.read_text()


def parent(name: str) -> str | None:
    """The image of ours that `ARG PARENT=plumbline/<parent>` names, or None."""
    found = re.search(rf"^ARG PARENT={REPOSITORY}/([a-z0-9-]+)$", recipe(name), re.MULTILINE)
    return found[1] if found else None


def tools_inside(name: str) -> list[str]:
    """Tools that the set-up copies into the build context, one `# tool: <name>` line each."""
    return re.findall(r"^# tool: ([a-z0-9-]+)$", recipe(name), re.MULTILINE)


def lineage(name: str) -> list[str]:
    """The image and its parents, the image first."""
    above = parent(name)
    return [name] + (lineage(above) if above else [])


def tag(name: str) -> str:
    """12 hex digits over all that decides what the image holds, apart from the packages of the day."""
    digest = hashlib.sha256(f"{name}\n".encode())
    above = parent(name)
    digest.update(f"parent {tag(above)}\n".encode() if above else f"suite {SUITE}\n".encode())
    for tool in tools_inside(name):
        digest.update(f"tool {tool} {paths.tool_spec(tool)['version']}\n".encode())
    context = folder() / name
    for path in sorted(item for item in context.rglob("*") if item.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        runs = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"file {path.relative_to(context)} {runs} {content}\n".encode())
    return digest.hexdigest()[:12]


def reference(name: str) -> str:
    """The full name that containers are started from: `plumbline/<name>:<tag>`."""
    return f"{REPOSITORY}/{name}:{tag(name)}"


def present() -> set[str]:
    """References of ours that this Docker daemon has; empty when it doesn't answer."""
    if shutil.which("docker") is None:
        return set()
    listed = subprocess.run(
        [
            "docker",
            "image",
            "ls",
            "--format",
            "{{.Repository}}:{{.Tag}}",
            "--filter",
            f"reference={REPOSITORY}/*",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return set(listed.stdout.split()) if listed.returncode == 0 else set()


def rootfs_archive() -> Path:
    """The cached base file system that the current recipe asks for."""
    return paths.cache_dir() / "images" / f"base-{tag('base')}.tar"


def build(name: str, run: Runner) -> None:
    """Build one image under its tag. Its parent and its tools must be there.

    `run` executes a command and raises when it fails. The caller holds the image's lock.
    """
    with scratch(paths.cache_dir() / "images", name) as made:
        context = made / "context"
        shutil.copytree(folder() / name, context)
        for tool in tools_inside(name):
            shutil.copy2(executable_for_image(tool), context / tool)
        if name == "base":
            os.link(rootfs_archive(), context / ROOTFS)
        above = parent(name)
        argument = ["--build-arg", f"PARENT={reference(above)}"] if above else []
        run(
            [
                *("env", "DOCKER_BUILDKIT=0", "docker", "build", "--network", "host", "--force-rm"),
                *("--label", f"plumbline.image={name}", "--tag", reference(name), *argument, str(context)),
            ]
        )


def executable_for_image(tool: str) -> Path:
    """The tool's binary itself: a launcher script on PATH would not run inside an image."""
    for candidate in (paths.cached_tool(tool), paths.tool(tool).resolve()):
        if candidate.is_file() and candidate.open("rb").read(4) == b"\x7fELF":
            return candidate
    raise paths.MissingToolError(f"{tool} on PATH is not a binary; run: python3 -m tools.setup tools")
