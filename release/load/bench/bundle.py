"""The bundle and the images that are measured: built from this checkout, cached by content."""

from __future__ import annotations

import json
from pathlib import Path

from app import build
from app.bundle import layer
from infra.paths import cache_dir, repo_root
from tools.setup.images import reference

VERSION = "0.0.0-bench"


def newest_bundle() -> tuple[Path, str]:
    """(archive, version) of this checkout. Raises LayerError or OSError when it can't be built."""
    out = repo_root() / "build" / "bench"
    manifest = build.build(VERSION, out, repo_root(), cache_dir() / "bundle-layers", layer.find_compiler())
    return out / json.loads(manifest.read_text())["file"], VERSION


def images() -> dict[str, str]:
    """References of the stand's images."""
    return {name: reference(name) for name in ("postgres", "redis", "etcd", "host")}
