"""Tar streams that come out the same for the same content, and can be joined without compressing again.

A gzip file may consist of several members, and a tar stream ends with two zero blocks. So a bundle is a
cached member with the dependencies (no end blocks), then a small one with the rest (with them). `tar -xzf`
and Python's tarfile read it as one archive.
"""

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

LEVEL = 6
END = b"\0" * 1024

Entry = tuple[str, bytes]


def entries_under(folder: Path, prefix: str) -> Iterable[Entry]:
    """Every file under a folder as (`prefix/relative/path`, content), sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def member(entries: Iterable[Entry], *, last: bool) -> bytes:
    """One gzip member with these files. Owner, time and order are fixed: equal content, equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=LEVEL, mtime=0) as packed:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o644, 0
            packed.write(info.tobuf(tarfile.PAX_FORMAT))
            packed.write(content + b"\0" * (-len(content) % tarfile.BLOCKSIZE))
        if last:
            packed.write(END)
    return buffer.getvalue()
