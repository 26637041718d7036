"""How the processes of one server learn that plugins are to be reloaded: a number in a file."""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from app.server.logs import logger

POLL_S = 1.0


class Generation:
    """A number that only rises, shared by the processes that see the directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "plugins.generation"
        self._lock = directory / ".plugins.generation.lock"

    def current(self) -> int:
        """The number; 0 before the first `bump`, and where the file can't be read."""
        try:
            return int(self._path.read_text())
        except (OSError, ValueError):
            return 0

    def bump(self) -> int:
        """Raise the number by one, for all; the new number. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            number = self.current() + 1
            aside = self._path.with_suffix(f".{os.getpid()}")
            aside.write_text(str(number))
            aside.replace(self._path)
        return number


class Watcher:
    """Calls `reload` in a thread of its own whenever another process raised the number."""

    def __init__(self, generation: Generation, reload: Callable[[], object], poll_s: float = POLL_S) -> None:
        self._generation, self._reload, self._poll_s = generation, reload, poll_s
        self._seen = generation.current()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plugins", daemon=True)

    def start(self) -> None:
        """Begin to watch what comes after this object was made."""
        self._thread.start()

    def announce(self) -> int:
        """Tell the others; this process has reloaded already."""
        with self._lock:
            number = self._generation.bump()
            # Another process may have announced in between: then this one reloads once more.
            if number == self._seen + 1:
                self._seen = number
            return number

    def close(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(self._poll_s + 1)

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_s):
            with self._lock:
                number = self._generation.current()
                due, self._seen = number != self._seen, number
            if due:
                try:
                    self._reload()
                except Exception as error:
                    logger().error("plugins not reloaded", error=str(error))
