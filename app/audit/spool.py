"""Events that could not be written before the service stopped, kept in files until the next start.

A file appears whole or not at all (written aside, flushed, renamed). Processes of one server share the
directory: whoever holds a file's lock reads it back; a crash lets go of the lock and keeps the file.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from app.audit.event import BadEventError, Event

PATTERN = "audit-*.jsonl"


def keep(directory: Path, events: Sequence[Event]) -> Path | None:
    """Write the events to a new file; None when there are none. Raises OSError."""
    if not events:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    name = f"audit-{events[0].at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
    aside, path = directory / f".{name}.part", directory / f"{name}.jsonl"
    with aside.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines(event.to_line() for event in events)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    flags = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(flags)
    finally:
        os.close(flags)
    return path


def give_back(directory: Path, write: Callable[[Sequence[Event]], None]) -> int:
    """Hand each file's events to `write`, then remove the file; how many events there were.

    What `write` raises is raised again and the file stays. Lines that are no events move to `*.bad`.
    """
    count = 0
    for path in sorted(directory.glob(PATTERN)) if directory.is_dir() else []:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue  # another process was faster
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if os.fstat(file.fileno()).st_nlink == 0:
                continue
            events, bad = _read(file.readlines())
            if events:
                write(events)
            if bad:
                path.with_suffix(".bad").write_bytes(b"".join(bad))
            path.unlink()
            count += len(events)
    return count


def _read(lines: Sequence[bytes]) -> tuple[list[Event], list[bytes]]:
    events, bad = [], []
    for line in lines:
        try:
            events.append(Event.from_line(line))
        except BadEventError:
            bad.append(line)
    return events, bad
