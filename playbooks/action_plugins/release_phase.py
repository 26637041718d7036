"""Runs one phase of a release on the controller and prints what it sees while it runs.

Thin on purpose: the phases are `release.engine.phases`, and the journal says which are done.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Here and not in run(): Ansible loads plugins before it forks, so seconds of importing are paid once.
from release.engine import playbook, process  # noqa: E402

display = Display()


class ActionModule(ActionBase):
    """`release_phase: {phase: ..., ...}` calls the phase of that name with the other arguments."""

    TRANSFERS_FILES = False
    _supports_check_mode = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ansible's entry. A phase that fails is a failed task with one line that says why."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        controller = os.getppid()
        process.die_with(controller)
        arguments = dict(self._task.args)
        phase = str(arguments.pop("phase", ""))
        answer = playbook.run(phase, arguments, task_vars or {}, controller=controller, say=display.display)
        result.update(answer)
        return result
