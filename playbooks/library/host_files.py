#!/usr/bin/python
"""Ansible module: several files of a host in one module execution."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_files
short_description: Keep several files of a host as they should be, in one module execution
description:
  - Writes root's files, each in one rename, in the order given; directories above them are made.
  - A module execution costs more CPU than all that it does to a file, and copy or template take two or three.
  - Content comes from lookups on the controller. It ends with a line break, which is added when missing.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where it is on the host., type: path, required: true}
      content: {description: What is in it., type: str}
      secret: {description: What is in it, if that must not be shown., type: str}
      mode: {description: Its mode., type: str, default: "0644"}
      validate: {description: A command that must accept it, %s standing for the file., type: str}
      once: {description: Write it only where there is none., type: bool, default: false}
  directories:
    description: Directories to make with mode 0755.
    type: list
    elements: path
    default: []
author: [Plumbline]
"""

RETURN = r"""
paths: {description: What changed., type: list, elements: str, returned: always}
"""


class Refused(Exception):
    """A file that must not be put in place; says why."""


def differences(wanted: dict) -> dict | None:
    """{"before", "after", "before_header", "after_header"} of one file; None when it is as it should be."""
    path, text = Path(wanted["path"]), content(wanted)
    if not path.is_file():
        found, mode = None, None
    elif wanted["once"]:
        return None
    else:
        found, mode = path.read_text(errors="replace"), path.stat().st_mode & 0o7777
    if found == text and mode == int(wanted["mode"], 8):
        return None
    shown = ("" if found is None else "(hidden)\n", "(hidden, changed)\n")
    before, after = shown if wanted["secret"] is not None else (found or "", text)
    header = f"{path} (mode {{}})".format
    return {
        "before": before,
        "after": after,
        "before_header": header("absent" if mode is None else f"{mode:04o}"),
        "after_header": header(wanted["mode"]),
    }


def content(wanted: dict) -> str:
    """The text of the file, with a line break at its end."""
    text = wanted["content"] if wanted["secret"] is None else wanted["secret"]
    return text if text.endswith("\n") else text + "\n"


def write(wanted: dict) -> None:
    """Put the file in place, if its validation accepts it. Raises Refused."""
    path = Path(wanted["path"])
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content(wanted))
            os.fchmod(file.fileno(), int(wanted["mode"], 8))
            file.flush()
            os.fsync(file.fileno())
        if wanted["validate"]:
            check = [part.replace("%s", name) for part in shlex.split(wanted["validate"])]
            done = subprocess.run(check, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Refused(
                    f"{path}: {wanted['validate']} refuses it: {(done.stderr + done.stdout).strip()}"
                )
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def keep(files: list[dict], directories: list[str], check_mode: bool) -> dict:
    """Bring everything to what is wanted; gives the module's result."""
    missing = [Path(path) for path in directories if not Path(path).is_dir()]
    diff = [{"before": "", "after": f"{path}/\n"} for path in missing]
    for path in () if check_mode else missing:
        path.mkdir(mode=0o755, parents=True)
    changed = [str(path) for path in missing]
    for wanted in files:
        if difference := differences(wanted):
            diff.append(difference)
            changed.append(wanted["path"])
            if not check_mode:
                write(wanted)
    return {"changed": bool(changed), "paths": changed, "diff": diff}


def main() -> None:
    """Ansible's entry."""
    file = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "secret": {"type": "str", "no_log": True},
        "mode": {"type": "str", "default": "0644"},
        "validate": {"type": "str"},
        "once": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": file,
                "mutually_exclusive": [["content", "secret"]],
                "required_one_of": [["content", "secret"]],
            },
            "directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**keep(module.params["files"], module.params["directories"], module.check_mode))
    except (Refused, OSError) as problem:
        module.fail_json(msg=str(problem))


if __name__ == "__main__":
    main()
