"""Where finished exports are kept. A file appears whole or not at all, under a key that is never used again.

The interface asks only for what object stores can do: write from front to end, publish, read, delete, hand
out a link. `LocalStore` is a directory; a bucket is another class with the same five methods.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

BLOCK_OCTETS = 1 << 20
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_PART = ".part"


class NoSuchObjectError(LookupError):
    """Nothing is stored under this key, here."""


class Upload(Protocol):
    """A file on its way. `abort` after `publish` does nothing; without `publish` nothing appears."""

    size: int

    def write(self, block: bytes) -> None: ...
    def publish(self) -> str:
        """Make it durable and readable; the SHA-256 of its content in hexadecimal."""
        ...

    def abort(self) -> None: ...


class Store(Protocol):
    """Keys are plain names."""

    def begin(self, key: str) -> Upload: ...
    def read(self, key: str) -> Iterator[bytes]:
        """The content in blocks. Raises NoSuchObjectError at once, not at the first block."""
        ...

    def delete(self, key: str) -> None:
        """Also when it isn't there."""
        ...

    def link(self, key: str, lives_s: float) -> str | None:
        """A URL that anybody may read it from for that long; None where the service itself must send it."""
        ...

    def sweep(self, older_than_s: float) -> int:
        """Remove what uploads left that never ended; how many."""
        ...


class LocalStore:
    """Files in a directory, which is made if missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def begin(self, key: str) -> "LocalUpload":
        """A new file under a temporary name beside its final one."""
        return LocalUpload(self._path(key))

    def read(self, key: str) -> Iterator[bytes]:
        """The file in blocks of a mebibyte."""
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError:
            raise NoSuchObjectError(key) from None
        return _blocks(file)

    def delete(self, key: str) -> None:
        """Remove the file."""
        self._path(key).unlink(missing_ok=True)

    def link(self, key: str, lives_s: float) -> str | None:
        """None: a directory has no address."""
        return None

    def sweep(self, older_than_s: float) -> int:
        """Remove temporary files that nobody wrote to for that long."""
        removed = 0
        for path in self._directory.glob(f"*{_PART}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or key.endswith(_PART):
            raise ValueError(f"key: {key[:40]!r} is not allowed; allowed: letters, digits, dots, dashes")
        return self._directory / key


class LocalUpload:
    """Written beside its final place, flushed to the disk, then renamed."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(path.name + _PART)
        self._file = self._part.open("wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, block: bytes) -> None:
        """Append."""
        self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def publish(self) -> str:
        """Rename it to its key."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)
        return self._digest.hexdigest()

    def abort(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._part.unlink(missing_ok=True)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK_OCTETS):
            yield block
