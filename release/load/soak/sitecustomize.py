"""Steps the wall clock of a Python process: it follows the offset, in seconds, in the file $STAND_CLOCK.

Found by the interpreter at its start, in PYTHONPATH. The monotonic clock stays real, as it does when a
machine's clock is set. (libfaketime does it below Python, but makes absolute sleeps fail with EINVAL.)
"""

import mmap
import os
import struct
import time
from pathlib import Path

if path := os.environ.get("STAND_CLOCK"):
    with Path(path).open("r+b") as file:
        view = mmap.mmap(file.fileno(), 8)
    offset = struct.Struct("<d").unpack_from
    real, real_ns = time.time, time.time_ns

    def stepped() -> float:
        """Unix seconds."""
        return real() + float(offset(view)[0])

    def stepped_ns() -> int:
        """Unix nanoseconds."""
        return real_ns() + int(offset(view)[0] * 1e9)

    time.time, time.time_ns = stepped, stepped_ns
