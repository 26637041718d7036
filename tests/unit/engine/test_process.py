"""The observer ends with ansible-playbook, even when that is killed outright."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from release.engine import process

PARENT = """
import os, sys, time
from release.engine import process
parent = os.getpid()
child = os.fork()
if child == 0:
    os.setsid()
    process.die_with(parent)
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_killing_the_controller_ends_the_observer():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_a_controller_that_is_already_gone_is_noticed():
    child = os.fork()
    if child == 0:
        try:
            process.die_with(1 if os.getppid() != 1 else 2)
        except process.ControllerGone:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_person_and_a_machine_are_named():
    assert "@" in process.who()
