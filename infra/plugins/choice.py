"""Which plugins Pulumi's engine uses: the official ones where they can be had, else the bundled ones.

The engine looks for plugins on PATH first, so the bundled ones are on PATH only when they are needed.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Literal

from infra import paths

BUNDLED = Path(__file__).resolve().parent
Choice = Literal["official", "bundled"]
_DOWNLOAD_TIMEOUT_S = 60
_ASK_AGAIN_S = 24 * 3600


def docker_plugin(pulumi: Path, environment: dict[str, str]) -> Choice:
    """Find or download the official docker plugin; "bundled" when neither works."""
    if shutil.which("pulumi-resource-docker", path=environment["PATH"]):
        return "official"
    version = metadata.version("pulumi-docker")
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if (home / "plugins" / f"resource-docker-v{version}").is_dir():
        return "official"
    # Where downloads don't work, every new environment would wait for the same failure.
    failed = paths.cache_dir() / f"pulumi-docker-{version}-unreachable"
    if failed.exists() and time.time() - failed.stat().st_mtime < _ASK_AGAIN_S:
        return "bundled"
    if _download(pulumi, environment, version):
        return "official"
    failed.parent.mkdir(parents=True, exist_ok=True)
    failed.touch()
    return "bundled"


def _download(pulumi: Path, environment: dict[str, str], version: str) -> bool:
    try:
        done = subprocess.run(
            [str(pulumi), "plugin", "install", "resource", "docker", version],
            env=environment,
            capture_output=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def bundled_folders(docker: Choice, path: str) -> list[Path]:
    """Folders to put on PATH: the chosen docker plugin's, and those whose official twin is not on PATH."""
    folders = []
    if docker == "bundled":
        folders.append(BUNDLED / "docker" / "bin")
    if not shutil.which("pulumi-language-python", path=path):
        folders.append(BUNDLED / "language_python" / "bin")
    return folders
