"""Official releases: fetched by pinned version, and refused unless their checksum fits."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from infra import paths
from tools.setup.shell import Log, SetupError

ANSWER_LIMIT_S = 5.0
# A site that didn't answer is not asked again for this long: where there is no internet, it never will.
UNREACHABLE_FOR_S = 6 * 3600.0


class UnreachableError(Exception):
    """The download site didn't answer, or doesn't have the release: another route may."""


class ChecksumError(SetupError):
    """What was downloaded isn't what the checksum promises."""


def _memory() -> Path:
    return paths.cache_dir() / "tools" / "unreachable.json"


def _unreachable_since() -> dict[str, float]:
    try:
        return {str(site): float(at) for site, at in json.loads(_memory().read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def remembered_unreachable(url: str, now: float | None = None) -> bool:
    """Whether the site was found not to answer a short while ago."""
    since = _unreachable_since().get(urllib.parse.urlsplit(url).netloc, 0.0)
    return (time.time() if now is None else now) - since < UNREACHABLE_FOR_S


def _remember_unreachable(url: str) -> None:
    known = _unreachable_since() | {urllib.parse.urlsplit(url).netloc: time.time()}
    _memory().parent.mkdir(parents=True, exist_ok=True)
    fresh = _memory().with_suffix(f".{time.monotonic_ns()}")
    fresh.write_text(json.dumps(known))
    fresh.replace(_memory())


def fetch(url: str, target: Path) -> None:
    """Download a file. Raises UnreachableError, within seconds where the site doesn't answer at all."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_LIMIT_S) as answer, target.open("wb") as file:  # noqa: S310
            while chunk := answer.read(1 << 20):
                file.write(chunk)
    except urllib.error.HTTPError as error:
        raise UnreachableError(f"{url}: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        _remember_unreachable(url)
        raise UnreachableError(f"{urllib.parse.urlsplit(url).netloc}: {error}") from error


def published_sum(listing: str, file_name: str) -> str:
    """A file's SHA-256 in a listing of `<hex>  <name>` lines. Raises ChecksumError when it is absent."""
    found = re.search(rf"^([0-9a-f]{{64}})\s+\*?(?:\./)?{re.escape(file_name)}\s*$", listing, re.MULTILINE)
    if not found:
        raise ChecksumError(f"{file_name}: the published checksums don't list it")
    return found[1]


def check(archive: Path, expected: str, source: str) -> None:
    """Raises ChecksumError unless the file has the SHA-256 that was promised."""
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    if actual != expected:
        raise ChecksumError(f"{source}: SHA-256 is {actual}, but {expected} was promised; it is not used")


def unpack(archive: Path, member: str, target: Path) -> None:
    """Take the member and the plain files beside it out of a tar archive, flat, as executables."""
    beside = str(Path(member).parent)
    with tarfile.open(archive) as tar:
        for item in tar:
            if item.isfile() and str(Path(item.name).parent) == beside and (data := tar.extractfile(item)):
                path = target / Path(item.name).name
                path.write_bytes(data.read())
                path.chmod(0o755)
    if not (target / Path(member).name).is_file():
        raise SetupError(f"{archive.name}: {member} is not inside")


def official(name: str, spec: dict[str, Any], target: Path, log: Log) -> None:
    """Put the official release of a tool into `target`, a directory that is there.

    Raises UnreachableError when another route should be taken, ChecksumError when the file must not be used.
    """
    release = spec["official"]
    machine = platform.machine()
    if machine not in release["arch"]:
        raise UnreachableError(f"{name}: no official release for {machine}")
    values = {"version": spec["version"], "arch": release["arch"][machine]}
    url = release["url"].format(**values)
    if remembered_unreachable(url):
        raise UnreachableError(f"{urllib.parse.urlsplit(url).netloc} didn't answer a short while ago")
    log.say(f"asking for the official release {url}")
    archive = target / "archive"
    fetch(url, archive)
    expected = release.get("sha256", {}).get(machine)
    if expected is None:
        listing = target / "checksums"
        fetch(release["checksums"].format(**values), listing)
        expected = published_sum(listing.read_text(), Path(urllib.parse.urlsplit(url).path).name)
        listing.unlink()
    check(archive, expected, url)
    unpack(archive, release["member"].format(**values), target)
    archive.unlink()
