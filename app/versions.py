"""Version strings: semantic versions (semver.org 2.0.0) without build metadata, since they name paths."""

import re
from pathlib import Path

LONGEST = 64
_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = rf"(?:{_NUMBER}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE}(?:\.{_PRE})*)?",
    re.ASCII,
)


def checked(version: str) -> str:
    """The version unchanged, or ValueError that says what is allowed."""
    if len(version) > LONGEST or not _SEMVER.fullmatch(version):
        raise ValueError(
            f"version: {version!r} is not allowed; allowed: a semantic version such as 1.4.0 or 1.4.0-rc.1, "
            f"at most {LONGEST} characters"
        )
    return version


def stamped() -> str | None:
    """The version that the build stamped on the bundle this code runs from; None in a checkout."""
    stamp = Path(__file__).resolve().parents[2] / "VERSION"
    return stamp.read_text().strip() if stamp.is_file() else None
