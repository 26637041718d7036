"""Who runs a release: the process whose death must end the observing, and who it is for messages."""

from __future__ import annotations

import ctypes
import getpass
import os
import signal
import socket

PR_SET_PDEATHSIG = 1


class ControllerGone(Exception):
    """The process that started this one ended before the guard was in place."""


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, even by SIGKILL.

    Ansible runs action plugins in a forked worker. Without this, killing ansible-playbook would
    leave the observer alive, shifting traffic with nobody watching, while the lock looks dead.
    Linux only. Raises ControllerGone when the parent ended before this call.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise ControllerGone(f"process {parent} ended; the release stays as the journal has it")


def who() -> str:
    """The person and machine of this controller, for the lock's message."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
