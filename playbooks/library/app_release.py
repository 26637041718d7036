#!/usr/bin/python
"""Ansible module: one release of the app in one slot of a host."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: app_release
short_description: Install a release of the app into a slot
description:
  - Unpacks the bundle beside the other releases, writes the slot's environment file and the release's
    configuration, points the slot's link at the release, and removes old releases that nothing uses.
  - Every step is one rename, so a crash leaves the old or the new state of it, and the same task run again
    finishes.
  - Doesn't restart anything. It says whether the running unit was started from something else.
options:
  slot: {description: The slot to install into., type: str, required: true, choices: [blue, green]}
  version: {description: The release's version; its directory is named so., type: str, required: true}
  bundle: {description: The bundle on this host., type: path, required: true}
  sha256: {description: The SHA-256 that the bundle must have., type: str, required: true}
  config: {description: The release's own configuration., type: dict, default: {}}
  environment: {description: The unit's environment., type: dict, required: true}
  secrets: {description: More of the unit's environment that must not be shown., type: dict, default: {}}
  keep: {description: Releases to keep; those in use are kept besides., type: int, default: 5}
author: [Plumbline]
"""

RETURN = r"""
release: {description: The release's directory., type: str, returned: always}
restart_needed: {description: The unit must be started again., type: bool, returned: always}
removed: {description: Versions that were removed., type: list, elements: str, returned: always}
"""

ROOT = Path("/opt/plumbline")
RELEASES = ROOT / "releases"
LINKS = {"blue": ROOT / "slots/blue", "green": ROOT / "slots/green", "downstream": ROOT / "downstream"}
CONFIGURATION = Path("/etc/plumbline")
STAMP = ".installed.json"
HIDDEN = "(hidden)"


class CantInstall(Exception):
    """The release can't be installed; says why and what to do."""


class Host:
    """What this host has, and the changes to it; in check mode they are only noted."""

    def __init__(self, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.before: dict[str, str] = {}
        self.after: dict[str, str] = {}

    def note(self, what: str, before: str, after: str) -> bool:
        """Record a difference; True when the change is to be made."""
        if before == after:
            return False
        self.before[what], self.after[what] = before, after
        return not self.check_mode

    def unpack(self, version: str, bundle: Path, sha256: str) -> None:
        """The bundle's content at releases/<version>, or the same content that is already there."""
        release = RELEASES / version
        installed = stamp(release).get("sha256", "absent")
        if installed not in ("absent", sha256) and release in in_use().values():
            raise CantInstall(
                f"version {version} is in use here with other content ({installed[:12]}, not {sha256[:12]}): "
                "a release never changes; build this content under another version"
            )
        if not self.note(str(release), installed, sha256):
            return
        if (found := digest(bundle)) != sha256:
            raise CantInstall(f"{bundle} has SHA-256 {found}, expected {sha256}: remove it and try again")
        RELEASES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=RELEASES) as scratch:
            content = Path(scratch) / "release"
            with tarfile.open(bundle) as archive:
                archive.extractall(content, filter="data")
            (content / STAMP).write_text(json.dumps({"sha256": sha256, "used": time.time()}))
            content.chmod(0o755)
            if release.exists():
                release.rename(Path(scratch) / "replaced")
            content.rename(release)

    def link(self, name: str, release: Path) -> None:
        """Point a link at the release, in one step."""
        link = LINKS[name]
        if self.note(str(link), str(in_use().get(name, "absent")), str(release)):
            link.parent.mkdir(parents=True, exist_ok=True)
            new = link.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.symlink_to(release)
            new.replace(link)
            (release / STAMP).write_text(json.dumps({**stamp(release), "used": time.time()}))

    def file(self, path: Path, text: str, mode: int, group: str | None, secrets: dict[str, str]) -> None:
        """A file with this content; the secrets in it are never shown."""
        before = path.read_text() if path.exists() else "absent"
        if before == text:
            return
        shown = [hide(content, secrets) for content in (before, text)]
        if shown[0] == shown[1]:
            shown[1] += "(a hidden value changes)\n"
        if self.note(str(path), *shown):
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(text)
            if group:
                shutil.chown(new, "root", group)
            new.chmod(mode)
            new.replace(path)

    def prune(self, keep: int, wanted: Path) -> list[str]:
        """Remove all but the `keep` releases used last; none that a link points at."""
        if not RELEASES.is_dir():
            return []
        kept = {wanted, *in_use().values()}
        by_age = sorted(
            (path for path in RELEASES.iterdir() if not path.name.startswith(".")),
            key=lambda path: stamp(path).get("used", 0.0),
            reverse=True,
        )
        removed = [path for path in by_age[keep:] if path not in kept]
        for unfinished in () if self.check_mode else RELEASES.glob(".unpack-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for path in removed:
            if self.note(str(path), "present", "absent"):
                shutil.rmtree(path, ignore_errors=True)
        return [path.name for path in removed]

    def prune_bundles(self, bundle: Path) -> None:
        """A bundle stays as long as its release, so that the same installation again has nothing to copy."""
        needed = {stamp(release).get("sha256") for release in RELEASES.glob("[!.]*")}
        for other in bundle.parent.glob("*.tar.gz"):
            if other != bundle and other.name.removesuffix(".tar.gz") not in needed and not self.check_mode:
                other.unlink(missing_ok=True)


def stamp(release: Path) -> dict:
    """What was noted about a release when it was unpacked; {} when it isn't there."""
    try:
        return json.loads((release / STAMP).read_text())
    except (OSError, ValueError):
        return {}


def in_use() -> dict[str, Path]:
    """The release that each link points at."""
    return {name: link.readlink() for name, link in LINKS.items() if link.is_symlink()}


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hide(text: str, secrets: dict[str, str]) -> str:
    """The text of an environment file without the values of its secrets."""
    lines = text.splitlines(keepends=True)
    return "".join(
        f"{line.partition('=')[0]}={HIDDEN}\n" if line.partition("=")[0] in secrets else line
        for line in lines
    )


def environment_file(values: dict[str, object]) -> str:
    """The values as systemd reads them."""
    quoted = {key: str(value).replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items()}
    if broken := [key for key, value in quoted.items() if "\n" in value]:
        raise CantInstall(f"environment: {', '.join(broken)} has a line break; allowed: one line")
    return "".join(f'{key}="{value}"\n' for key, value in sorted(quoted.items()))


def running_with(slot: str) -> str | None:
    """PLUMBLINE_INSTALL of the slot's running process; None when none runs."""
    ask = ["systemctl", "show", "--property=MainPID", "--value", f"app@{slot}.service"]
    pid = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    try:
        variables = Path(f"/proc/{int(pid or 0)}/environ").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    found = dict(entry.split(b"=", 1) for entry in variables if b"=" in entry)
    return found.get(b"PLUMBLINE_INSTALL", b"").decode() or None


def install(host: Host, wanted: dict) -> dict:
    """Bring the slot to what is wanted; gives the module's result."""
    slot, release, bundle = wanted["slot"], RELEASES / wanted["version"], Path(wanted["bundle"])
    config = json.dumps(wanted["config"], indent=2, sort_keys=True) + "\n"
    values = {
        **wanted["environment"],
        **wanted["secrets"],
        "PLUMBLINE_RELEASE_DIR": release,
        "PYTHONPATH": release / "site-packages",
        "PLUMBLINE_RELEASE_CONFIG": CONFIGURATION / f"release-{slot}.json",
    }
    identity = hashlib.sha256((wanted["sha256"] + config + environment_file(values)).encode()).hexdigest()
    values["PLUMBLINE_INSTALL"] = identity
    hidden = {**wanted["secrets"], "PLUMBLINE_INSTALL": identity}

    host.unpack(wanted["version"], bundle, wanted["sha256"])
    host.file(CONFIGURATION / f"release-{slot}.json", config, 0o644, None, {})
    host.file(CONFIGURATION / f"app-{slot}.env", environment_file(values), 0o640, "app", hidden)
    host.link(slot, release)
    if "downstream" not in in_use():
        host.link("downstream", release)
    removed = host.prune(wanted["keep"], release)
    host.prune_bundles(bundle)
    return {
        "changed": bool(host.after),
        "diff": {"before": lines(host.before), "after": lines(host.after)},
        "release": str(release),
        "restart_needed": running_with(slot) != identity,
        "removed": removed,
    }


def lines(notes: dict[str, str]) -> str:
    """Notes as the text that --diff compares."""
    return "".join(f"{what}: {value.rstrip()}\n" for what, value in notes.items())


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={
            "slot": {"type": "str", "required": True, "choices": ["blue", "green"]},
            "version": {"type": "str", "required": True},
            "bundle": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "config": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "keep": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**install(Host(module.check_mode), module.params))
    except (CantInstall, OSError, tarfile.TarError) as problem:
        module.fail_json(msg=str(problem))


if __name__ == "__main__":
    main()
