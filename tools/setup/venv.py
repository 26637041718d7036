"""The virtual environment `.venv` in the checkout, filled from the hashed locks."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from infra import paths
from tools.setup.shell import Log

LOCKS = ("bootstrap.txt", "dev.txt")


def folder() -> Path:
    """Where the environment is."""
    return paths.repo_root() / ".venv"


def fingerprint() -> str:
    """What the environment depends on: the locks, the Python and its own place (scripts name it)."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {folder()}\n".encode())
    for name in LOCKS:
        digest.update((paths.repo_root() / "requirements" / name).read_bytes())
    return digest.hexdigest()


def stamp() -> Path:
    """The file that says which locks the environment was filled from."""
    return folder() / ".plumbline-locks"


def ready() -> bool:
    """Whether the environment is there and was filled from these very locks."""
    try:
        return stamp().read_text().strip() == fingerprint() and (folder() / "bin" / "python").exists()
    except OSError:
        return False


def usable() -> bool:
    """Whether there is an environment of this Python, at this place, that can be filled up."""
    python = folder() / "bin" / "python"
    if not python.exists():
        return False
    code = "import sys; print(sys.version_info[:2], sys.prefix)"
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip() == f"{sys.version_info[:2]} {folder()}"


def base_python() -> str:
    """The Python outside any virtual environment: `.venv` can't be made anew by its own."""
    return (
        str(getattr(sys, "_base_executable", sys.executable))
        if sys.prefix != sys.base_prefix
        else sys.executable
    )


def make(log: Log) -> str:
    """Make or fill up the environment. Every file that is installed is checked against the locks' hashes."""
    place = hashlib.sha256(str(folder()).encode()).hexdigest()[:12]
    with log.only_one(f"venv-{place}"):
        if ready():
            return "there"
        python = str(folder() / "bin" / "python")
        requirements = paths.repo_root() / "requirements"
        if not usable():
            log.say("making .venv")
            log.run([base_python(), "-m", "venv", "--clear", str(folder())])
        stamp().unlink(missing_ok=True)
        if not (folder() / "bin" / "uv").exists():
            log.say("installing the installer")
            log.run([python, "-m", "ensurepip", "--default-pip"])
        if (folder() / "bin" / "pip").exists():
            log.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--require-hashes",
                    "-r",
                    str(requirements / "bootstrap.txt"),
                ]
            )
        log.say("installing what requirements/dev.txt locks")
        uv = [str(folder() / "bin" / "uv"), "pip", "install", "--python", python]
        log.run([*uv, "--require-hashes", "-r", str(requirements / "dev.txt")])
        fresh = stamp().with_suffix(f".{os.getpid()}")
        fresh.write_text(fingerprint() + "\n")
        fresh.replace(stamp())
    return "filled from requirements/dev.txt"
