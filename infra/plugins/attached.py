"""Serving the bundled docker plugin once for a whole run of `python -m infra`.

The engine starts each plugin twice a stack (to refresh, then to update), and a start of Python costs more
than all that the plugin then does. So it is served from this process, and the engine is told to attach.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from infra.plugins.choice import Choice
from infra.plugins.docker.server import serve

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


@contextlib.contextmanager
def attached(docker: Choice) -> Iterator[dict[str, str]]:
    """Serve the plugin for the time of a run; gives the environment variable that tells the engine."""
    if docker == "official":
        yield {}
        return
    started: Future[int] = Future()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(serve(started.set_result, [], over)),
        daemon=True,
        name="docker-plugin",
    )
    thread.start()
    try:
        yield {"PULUMI_DEBUG_PROVIDERS": f"docker:{started.result(_START_TIMEOUT_S)}"}
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_STOP_TIMEOUT_S)
