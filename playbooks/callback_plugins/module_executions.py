"""Counts module executions a host and the time of a playbook; for site.yml also in results/site.json.

A module execution costs about 0.17 s of CPU on its host and is not the same as a task: a template is two
or three. Each is counted where Ansible starts it, in a worker process, as a line of a shared file.
"""

from __future__ import annotations

import collections
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: module_executions
type: notification
short_description: Count module executions a host
description: Prints how many modules ran on each host, and writes it to results/site.json for site.yml.
requirements: [enable it in callbacks_enabled]
"""

RESULTS = Path(__file__).resolve().parents[2] / "results"


class CallbackModule(CallbackBase):
    """One count for the whole run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "module_executions"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._playbook = ""
        # Inherited by the worker processes; a line shorter than a page is appended whole.
        self._lines = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115 # lives as long as the run
        count_in(self._lines.fileno())

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Ansible's call: remember which playbook runs."""
        self._playbook = Path(playbook._file_name).stem

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Ansible's call: say the counts."""
        seconds = time.monotonic() - self._began
        self._lines.seek(0)
        counts = dict(sorted(collections.Counter(self._lines.read().decode().split()).items()))
        text = ", ".join(f"{host} {count}" for host, count in counts.items())
        self._display.display(f"Module executions: {text or 'none'}; {seconds:.1f} s")
        if self._playbook == "site":
            hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
            RESULTS.mkdir(exist_ok=True)
            report = {"seconds": round(seconds, 1), "module_executions": counts, "hosts": hosts}
            (RESULTS / "site.json").write_text(json.dumps(report, indent=2) + "\n")


def count_in(descriptor: int) -> None:
    """Let every action write its host's name there when it starts a module."""
    start = ActionBase._execute_module

    def counted(self: ActionBase, *arguments: Any, **options: Any) -> Any:
        task_vars = options.get("task_vars") or {}
        host = self._task.delegate_to or task_vars.get("inventory_hostname", "unknown")
        os.write(descriptor, f"{host}\n".encode())
        return start(self, *arguments, **options)

    ActionBase._execute_module = counted
