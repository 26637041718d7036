"""Commands of a set-up step: their output goes to the step's log, and they end when the set-up ends."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO

from infra import paths


class SetupError(Exception):
    """A step cannot go on. `fix` is the next command to run; `code` the exit code it asks for."""

    def __init__(self, message: str, fix: str = "", code: int = 1):
        super().__init__(message)
        self.fix = fix
        self.code = code


class Interrupted(Exception):
    """The set-up was asked to end while this step was at work."""


class Children:
    """The processes that all steps have running, so that an interrupted set-up leaves none behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def start(
        self, command: list[str], output: IO[bytes], cwd: Path | None, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command, unless the set-up is ending."""
        with self._lock:
            if self._ended:
                raise Interrupted
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            self._running.add(child)
            return child

    def forget(self, child: subprocess.Popen[bytes]) -> None:
        """Take an ended process off the list."""
        with self._lock:
            self._running.discard(child)

    def end(self) -> None:
        """Ask every running process to end and start no other."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()


class Log:
    """What one step does: commands with their output in a file, a note for people, a lock between set-ups."""

    def __init__(self, name: str, children: Children, folder: Path | None = None):
        self.name = name
        self.children = children
        self.note = ""
        self.waited = False
        folder = folder or paths.cache_dir() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name.replace(' ', '-').replace(':', '-')}.log"

    def say(self, text: str) -> None:
        """Set what the step is doing now, as the progress line shows it, and log it."""
        self.note = text
        with self.path.open("a") as file:
            file.write(f"# {text}\n")

    def run(
        self, command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Run a command to its end with nothing on standard input.

        `env` is added to the environment. Raises SetupError when the command is missing or fails.
        """
        with self.path.open("ab") as file:
            file.write(f"$ {shlex.join(command)}\n".encode())
            file.flush()
            try:
                child = self.children.start(command, file, cwd, {**os.environ, **(env or {})})
            except FileNotFoundError as error:
                raise SetupError(f"{command[0]}: not found") from error
            try:
                code = child.wait()
            finally:
                self.children.forget(child)
        if code != 0:
            raise SetupError(f"`{shlex.join(command)[:120]}` ended with {code}")

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines of the log."""
        return self.path.read_text(errors="replace").splitlines()[-lines:] if self.path.is_file() else []

    @contextmanager
    def only_one(self, resource: str) -> Iterator[None]:
        """Hold a lock that other set-ups of this user respect too; released even by a killed process."""
        folder = paths.cache_dir() / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{resource}.lock").open("w") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                self.waited = True
                self.say(f"waits for another set-up that holds {resource}")
                flock(file, LOCK_EX)
            yield


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A directory for half-made things beside where they will go.

    The caller holds the lock of `name`, so whatever an earlier, killed set-up left under it goes away first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f".{name}~*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}~", dir=parent) as folder:
        yield Path(folder)


def as_root(command: list[str]) -> list[str]:
    """The command as root may run it: itself, or through sudo.

    Raises SetupError when neither is possible.
    """
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", "-n", "--", *command]
    raise SetupError(f"`{shlex.join(command)[:120]}` needs root, and there is no sudo", "run this as root", 2)
