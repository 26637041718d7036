"""Ends a plugin when the engine that started it is gone.

The engine stops its plugins itself, unless it was killed: then they would wait for requests for ever.
"""

from __future__ import annotations

import os
import threading
import time

_LOOK_EVERY_S = 1.0


def end_with_parent() -> None:
    """Watch the parent process from a daemon thread and leave when it has changed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
