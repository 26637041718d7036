"""Layers that rarely change, kept compressed in the cache: dependencies, and the app's modules.

Compiled modules spare each start on a host seconds of CPU. They need the hosts' own Python, so they are made
in the hosts' image where Docker has it; a bundle without them works all the same, only slower to start.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.bundle import archive
from app.bundle.archive import Entry

PYTHON = "3.13"
INSTALL_TIMEOUT_S = 600
COMPILE_TIMEOUT_S = 300
PREFIX = "site-packages"


class LayerError(Exception):
    """A layer could not be made."""


def dependencies(lock: Path, cache: Path, compiler: str | None) -> Path:
    """The gzip member with every locked dependency, from the cache or made now."""
    key = _key(lock.read_bytes(), PYTHON, platform.machine(), compiler)

    def make(folder: Path) -> None:
        _install(lock, folder)

    return _cached(cache / f"dependencies-{key}.tgz", compiler, make)


def application(files: list[Entry], cache: Path, compiler: str | None) -> Path:
    """The gzip member with the app's modules, from the cache or made now."""
    content = b"".join(hashlib.sha256(name.encode() + b"\0" + data).digest() for name, data in files)

    def make(folder: Path) -> None:
        for name, data in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    return _cached(cache / f"application-{_key(content, PYTHON, compiler)}.tgz", compiler, make)


def find_compiler() -> str | None:
    """The hosts' image when this machine has it, else None."""
    from tools.setup.images import reference  # noqa: PLC0415  # only a build needs it

    image = reference("host")
    try:
        found = subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return image if found.returncode == 0 else None


def _key(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
    return digest.hexdigest()[:16]


def _cached(path: Path, compiler: str | None, make: Callable[[Path], None]) -> Path:
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=path.parent) as scratch:
        folder = Path(scratch) / PREFIX
        folder.mkdir()
        make(folder)
        if compiler:
            _compile(folder, compiler)
        packed = Path(scratch) / "layer"
        packed.write_bytes(archive.member(archive.entries_under(folder, PREFIX), last=False))
        packed.replace(path)  # whole or not at all, also when two builds make it at once
    return path


def _install(lock: Path, folder: Path) -> None:
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    uv = shutil.which("uv", path=search)
    if uv is None:
        raise LayerError("uv is not there; run: python3 -m tools.setup")
    wanted = ["--python-version", PYTHON, "--python-platform", f"{platform.machine()}-manylinux_2_28"]
    command = [
        uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), *wanted,
        "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", "--no-compile-bytecode",
        "-r", str(lock),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise LayerError(f"the locked dependencies were not installed: {done.stderr.strip()[-800:]}")
    # Commands with this machine's paths in them, and uv's own marks, are no part of a bundle.
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for mark in [folder / ".lock", *folder.glob("*.dist-info/*_TOOL.json"), *folder.glob("*.dist-info/uv_*")]:
        mark.unlink(missing_ok=True)


def _compile(folder: Path, image: str) -> None:
    """Compile in the hosts' image; the modules stay valid whatever time and path the files get."""
    command = [
        "docker", "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}",
        "--volume", f"{folder}:/{PREFIX}", "--entrypoint", "/usr/bin/python3", image,
        "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"/{PREFIX}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise LayerError(f"the modules were not compiled in {image}: {(done.stderr or done.stdout)[-400:]}")
