"""Build an immutable bundle of the service.

  python -m app.build --version 1.1.0 --out build/bundles

writes plumbline-app-1.1.0.tar.gz and its manifest plumbline-app-1.1.0.json, both whole or not at all. The
bundle has everything but Python 3.13 itself; the same checkout and lock give the same bytes. It runs by
`PYTHONPATH=RELEASE/site-packages /usr/bin/python3 -m gunicorn -c RELEASE/gunicorn.conf.py`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from app import versions
from app.bundle import archive, layer, wheel
from infra import paths


def build(version: str, out: Path, root: Path, cache: Path, compiler: str | None) -> Path:
    """Make bundle and manifest; returns the manifest's path. Raises ValueError, LayerError or OSError."""
    versions.checked(version)
    lock = root / "requirements" / "app.txt"
    files = wheel.app_files(root)
    info = wheel.dist_info(files, version)
    packed_wheel = wheel.pack([*files, *info])
    rest = [
        ("VERSION", f"{version}\n".encode()),
        ("gunicorn.conf.py", (root / "app" / "gunicorn_conf.py").read_bytes()),
        *((f"{layer.PREFIX}/{name}", content) for name, content in info),
    ]
    bundle = b"".join([
        layer.dependencies(lock, cache, compiler).read_bytes(),
        layer.application(files, cache, compiler).read_bytes(),
        archive.member(rest, last=True),
    ])  # fmt: skip
    commit, dirty = _git_state(root)
    manifest = {
        "version": version,
        "file": f"plumbline-app-{version}.tar.gz",
        "sha256": _sha256(bundle),
        "size": len(bundle),
        "wheel": wheel.name(version),
        "wheel_sha256": _sha256(packed_wheel),
        "lock_sha256": _sha256(lock.read_bytes()),
        "commit": commit,
        "dirty": dirty,
        "python": layer.PYTHON,
        "compiled": compiler is not None,
    }
    out.mkdir(parents=True, exist_ok=True)
    _write(out / manifest["file"], bundle)  # type: ignore[operator]
    path = out / f"plumbline-app-{version}.json"
    _write(path, json.dumps(manifest, indent=2).encode() + b"\n")
    return path


def _git_state(root: Path) -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it); (None, None) outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(
            git("status", "--porcelain", "--", "app", "requirements/app.txt")
        )
    except (OSError, subprocess.SubprocessError):
        return None, None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 built, 1 not built, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m app.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", required=True, help="a semantic version, such as 1.4.0 or 1.4.0-rc.1")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write to, made if missing")
    given = parser.parse_args(arguments)
    try:
        versions.checked(given.version)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if given.out.exists() and not given.out.is_dir():
        print(f"--out: {given.out} is not a folder", file=sys.stderr)
        return 2
    try:
        compiler = layer.find_compiler()
        manifest = build(
            given.version, given.out, paths.repo_root(), paths.cache_dir() / "bundle-layers", compiler
        )
    except (layer.LayerError, OSError, subprocess.SubprocessError) as error:
        print(f"no bundle was built: {error}", file=sys.stderr)
        return 1
    print(manifest.read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
