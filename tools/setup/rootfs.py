"""The base file system, made by mmdebstrap from this machine's own apt sources with the suite changed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.setup import images
from tools.setup.shell import scratch

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ALIASES = ("stable", "oldstable", "testing")
# Settings of this machine's apt without which its sources may not answer from inside an image either.
CARRIED_SETTINGS = re.compile(r"Acquire::(http|https)::|Acquire::(Check-Valid-Until|Check-Date|Retries)\b")


class NoDebianSourcesError(RuntimeError):
    """This machine's apt has no Debian archive that the images could be made from."""


@dataclass(frozen=True)
class Source:
    """One Debian archive: its address, its suites and the key that signs it."""

    uri: str
    suites: tuple[str, ...]
    signed_by: str

    def stanza(self) -> str:
        """The source in apt's deb822 form, main only."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: main\nSigned-By: {self.signed_by}\n"
        )


def codename(os_release: str) -> str:
    """VERSION_CODENAME of /etc/os-release, or an empty string."""
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", os_release, re.MULTILINE)
    return found[1] if found else ""


def translate(suite: str, machine: str, wanted: str) -> str | None:
    """`bookworm-security` -> `trixie-security`; None for a suite that isn't Debian's own."""
    for known in (machine, *ALIASES):
        if known and re.fullmatch(rf"{known}(-updates|-security)?", suite):
            return wanted + suite.removeprefix(known)
    return None


def parse_deb822(text: str) -> Iterator[dict[str, str]]:
    """Stanzas of a .sources file as plain fields; comments and continuation lines are understood."""
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            else:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields:
            yield fields


def parse_one_line(text: str) -> Iterator[dict[str, str]]:
    """`deb [options] URI suite components` lines of a .list file in the same fields."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
        if found:
            options = dict(item.partition("=")[::2] for item in (found[1] or "").split())
            yield {
                "types": "deb",
                "uris": found[2],
                "suites": found[3],
                "components": found[4].partition("#")[0].strip(),
                "signed-by": options.get("signed-by", ""),
            }


def debian_sources(apt: Path, machine: str, wanted: str = images.SUITE) -> list[Source]:
    """Debian's archives as this machine reaches them, with its suite changed to the wanted one.

    Raises NoDebianSourcesError when none carries `main`.
    """
    stanzas: list[dict[str, str]] = []
    for path in [*sorted((apt / "sources.list.d").glob("*.sources"))]:
        stanzas += parse_deb822(path.read_text())
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            stanzas += parse_one_line(path.read_text())
    found: list[Source] = []
    for fields in stanzas:
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        suites = [translate(suite, machine, wanted) for suite in fields.get("suites", "").split()]
        kept = tuple(suite for suite in suites if suite)
        if not kept or "main" not in fields.get("components", "").split():
            continue
        key = fields.get("signed-by", "")
        signed_by = key if key.startswith("/") and Path(key).is_file() else str(DEBIAN_KEYRING)
        found += [Source(uri, kept, signed_by) for uri in fields.get("uris", "").split()]
    if not any(wanted in source.suites for source in found):
        raise NoDebianSourcesError(
            f"apt sources: none in {apt} offers Debian's {machine or 'own'} main archive; "
            "the images are made from it. Add one, then run: python3 -m tools.setup images"
        )
    return found


def carried_settings(dump: str) -> list[str]:
    """Lines of `apt-config dump` that the images need too, such as a proxy."""
    return [line for line in dump.splitlines() if CARRIED_SETTINGS.match(line) and not line.endswith('"";')]


def make(run: images.Runner) -> Path:
    """Make the base archive when it is missing and return it. Takes about a minute.

    `run` executes a command and raises when it fails. The caller holds the archive's lock.
    """
    archive = images.rootfs_archive()
    if archive.is_file():
        return archive
    recipe = images.folder() / "base"
    sources = debian_sources(Path("/etc/apt"), codename(Path("/etc/os-release").read_text()))
    packages = [line for line in (recipe / "packages.txt").read_text().split("\n") if line and line[0] != "#"]
    settings = ['Acquire::Languages "none";', 'APT::Install-Recommends "false";']
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=True)
    settings += carried_settings(dump.stdout)
    with scratch(archive.parent, "rootfs") as folder:
        listed = folder / "debian.sources"
        listed.write_text("\n".join(source.stanza() for source in sources))
        carried = folder / "apt.conf"
        carried.write_text("\n".join(settings) + "\n")
        made = folder / images.ROOTFS
        run(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"),
                *(f"--aptopt={carried}", f"--dpkgopt={recipe / 'dpkg.conf'}"),
                *(images.SUITE, str(made), str(listed)),
            ]
        )
        made.rename(archive)
    return archive
