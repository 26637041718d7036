"""Serve the plugin: the engine starts this with its own address as the argument."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from infra.plugins.docker.server import serve
from infra.plugins.lifetime import end_with_parent


def say(port: int) -> None:
    """Tell the engine the port: the first line of standard output."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


end_with_parent()
# The engine ends its plugins with an interrupt.
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(serve(say, sys.argv[1:]))
