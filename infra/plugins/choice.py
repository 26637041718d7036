"""Which plugins Pulumi's engine uses: the official ones where they can be had, else the bundled ones.

The engine looks for plugins on PATH first, so the bundled ones are on PATH only when they are needed.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Literal

BUNDLED = Path(__file__).resolve().parent
Choice = Literal["official", "bundled"]
_DOWNLOAD_TIMEOUT_S = 120


def docker_plugin(pulumi: Path, environment: dict[str, str]) -> Choice:
    """Find or download the official docker plugin; "bundled" when neither works."""
    if shutil.which("pulumi-resource-docker", path=environment["PATH"]):
        return "official"
    version = metadata.version("pulumi-docker")
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if (home / "plugins" / f"resource-docker-v{version}").is_dir():
        return "official"
    try:
        done = subprocess.run(
            [str(pulumi), "plugin", "install", "resource", "docker", version],
            env=environment,
            capture_output=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "bundled"
    return "official" if done.returncode == 0 else "bundled"


def bundled_folders(docker: Choice, path: str) -> list[Path]:
    """Folders to put on PATH: the chosen docker plugin's, and those whose official twin is not on PATH."""
    folders = []
    if docker == "bundled":
        folders.append(BUNDLED / "docker" / "bin")
    if not shutil.which("pulumi-language-python", path=path):
        folders.append(BUNDLED / "language_python" / "bin")
    return folders
