"""The filter `state_dir`: an environment's private directory on the controller, as infra.paths gives it."""

import sys
from pathlib import Path

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra import paths


def state_dir(environment: str, instance: str = "") -> str:
    """`dev | state_dir('x')` is the directory of instance x of dev; made when missing, mode 0700."""
    try:
        return str(paths.state_dir(environment, instance))
    except ValueError as problem:
        raise AnsibleFilterError(str(problem)) from problem


class FilterModule:
    def filters(self):
        return {"state_dir": state_dir}
