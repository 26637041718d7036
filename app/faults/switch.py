"""Faults set at run time: one file that every process of the server follows.

Whoever sets faults writes the file in the server's runtime directory; each process looks at it twice a
second. The file names the server that it is meant for (its master process), so that the faults end with the
server: the next release in the same slot must not be born with them.
"""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from app.faults.config import DbFault, Fault, Faults

LOOK_S = 0.5


class FaultSet(BaseModel):
    """The content of the file, and what the API shows of it. generation grows with each change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    generation: int = 0
    faults: Faults = ()
    set_by: str = ""
    set_at: datetime | None = None


class Tables(Protocol):
    """What `missing_index` needs in the database."""

    def ensure(self) -> None: ...
    def drop(self) -> None: ...


class FaultSwitch:
    """One for each process. path: the file. server: see `server_identity`. release: faults that the release
    brings along, which stay. set_: the injector's `set`. show: told all active faults. changed: told what
    this process took up, for its log. tables: of the fault missing_index."""

    def __init__(
        self,
        path: Path,
        *,
        server: str,
        release: Sequence[Fault] = (),
        set_: Callable[[Sequence[Fault]], None],
        tables: Tables,
        show: Callable[[Iterable[tuple[str, str, float]]], None] = lambda faults: None,
        changed: Callable[[FaultSet], None] = lambda current: None,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._path, self._server, self.release = path, server, tuple(release)
        self._set, self._tables, self._show = set_, tables, show
        self._changed, self._failed = changed, failed
        self._current = FaultSet(server=server)
        self._seen: tuple[int, ...] | None = None
        self._has_tables = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> FaultSet:
        """What was set at run time, as this process has it."""
        return self._current

    def start(self) -> None:
        """Follow the file, in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._follow, name="faults", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and remove what the faults needed."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
        if self._has_tables:
            try:
                self._tables.drop()
            except Exception as error:
                self._failed(error)

    def change(self, faults: Sequence[Fault], *, by: str, at: datetime) -> FaultSet:
        """Replace what is set at run time, in all processes. Raises what the database or the file raises:
        then nothing has changed."""
        if _need_tables(faults):
            # Before anything is written, so that whoever sets the fault learns why it can't be.
            self._tables.ensure()
            self._has_tables = True
        with Path(f"{self._path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            generation = max(self._read().generation, self._current.generation) + 1
            new = FaultSet(
                server=self._server, generation=generation, faults=tuple(faults), set_by=by, set_at=at
            )
            written = self._path.with_suffix(f".{os.getpid()}")
            written.write_text(new.model_dump_json())
            written.replace(self._path)
        self.look()
        return new

    def look(self) -> bool:
        """Take up what the file says, if it has changed; whether it had. Raises what the database raises, and
        then the same change is tried again at the next look."""
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            new = self._read()
            active = (*self.release, *new.faults)
            if _need_tables(active):
                self._tables.ensure()
                self._has_tables = True
            self._set(active)
            self._show((fault.kind, fault.mode, fault.share) for fault in active)
            self._current, self._seen = new, stamp
            self._changed(new)
            # Last: a request that is under way finds no table and goes on.
            if self._has_tables and not _need_tables(active):
                self._tables.drop()
                self._has_tables = False
            return True

    def _follow(self) -> None:
        told = False
        while True:
            try:
                self.look()
                told = False
            except Exception as error:
                if not told:
                    self._failed(error)
                told = True
            if self._stopped.wait(LOOK_S):
                return

    def _stamp(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return ()
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _read(self) -> FaultSet:
        """The file's content where it is meant for this server, else nothing set."""
        try:
            found = FaultSet.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return FaultSet(server=self._server)
        return found if found.server == self._server else FaultSet(server=self._server)


def server_identity(pid: int, proc: Path = Path("/proc")) -> str:
    """Names a process for all time since boot: its id and when it began. Pass the master's: os.getppid()."""
    try:
        # After the command's name, which is in parentheses and may hold anything.
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return f"{pid}-{fields[19]}"
    except (OSError, IndexError):
        return str(pid)


def described(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """For logs and audit."""
    return [json.loads(fault.model_dump_json()) for fault in faults]


def _need_tables(faults: Iterable[Fault]) -> bool:
    return any(isinstance(fault, DbFault) and fault.mode == "missing_index" for fault in faults)
