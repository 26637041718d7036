"""One process of the service with several gRPC servers over the same calls, for grpc_compare.

  python3 grpc_servers.py KIND=ADDRESS...      KIND: threads, aio, aio_executor; settings as the service's

`threads` is what the service ships. `aio` answers on the event loop itself, so that one call that waits for
the database holds up all others; `aio_executor` hands each call to a thread. Says `ready` on a line of stdout
when the service is ready and all listen; ends when stdin does. It is copied into a host and run there, so it
imports nothing but the bundle.
"""

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.grpc_api import ids_pb2 as m
from app.grpc_api.calls import Calls
from app.grpc_api.refusals import Refusal
from app.grpc_api.server import SERVICE, GrpcServer

import grpc  # isort: skip  # after app.grpc_api, which prepares it


class AsyncServer:
    """The same calls on grpc.aio, in a thread with a loop of its own."""

    def __init__(self, calls: Calls, address: str, threads: int) -> None:
        """threads: 0 answers on the loop."""
        self._calls, self._address = calls, address
        self._executor = ThreadPoolExecutor(threads) if threads else None
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        """Listen when this returns."""
        self._thread.start()
        self._listens.wait(10)

    async def _serve(self) -> None:
        server = grpc.aio.server()
        calls = grpc.method_handlers_generic_handler(SERVICE, {
            "Generate": grpc.unary_unary_rpc_method_handler(
                self._generate, m.GenerateRequest.FromString, m.GenerateResponse.SerializeToString
            ),
            "GenerateStream": grpc.stream_stream_rpc_method_handler(
                self._stream, m.GenerateRequest.FromString, m.GenerateReply.SerializeToString
            ),
        })  # fmt: skip
        server.add_generic_rpc_handlers((calls,))
        server.add_insecure_port(self._address)
        await server.start()
        self._listens.set()
        await server.wait_for_termination()

    async def _generate(self, request: m.GenerateRequest, context: Any) -> m.GenerateResponse:
        given = request, context.invocation_metadata(), context.time_remaining()
        try:
            if self._executor is None:
                return self._calls.generate(*given)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._calls.generate, *given)
        except Refusal as refusal:
            await context.abort(refusal.code, refusal.detail, refusal.metadata)
            raise

    async def _stream(
        self, requests: AsyncIterator[m.GenerateRequest], context: Any
    ) -> AsyncIterator[m.GenerateReply]:
        metadata, loop = context.invocation_metadata(), asyncio.get_running_loop()
        async for request in requests:
            given = request, metadata, context.time_remaining()
            if self._executor is None:
                yield self._calls.generate_in_stream(*given)
            else:
                yield await loop.run_in_executor(self._executor, self._calls.generate_in_stream, *given)


def main() -> None:
    """Serve until stdin ends."""
    wanted = [given.split("=", 1) for given in sys.argv[1:]]
    # The runtime's own server lends its calls to the others.
    unused = f"unix:{tempfile.gettempdir()}/unused-{os.getpid()}"
    os.environ["PLUMBLINE_GRPC_BIND"] = next((where for kind, where in wanted if kind == "threads"), unused)
    from app import settings as configuration  # noqa: PLC0415  # reads the environment
    from app.observing.metrics import Metrics  # noqa: PLC0415
    from app.server.problem_kinds import KINDS as SLUGS  # noqa: PLC0415
    from app.serving.runtime import Runtime  # noqa: PLC0415

    settings, release = configuration.load()
    runtime = Runtime(settings, release, Metrics(settings.slot, settings.version, slugs=SLUGS))
    runtime.start()
    if not runtime.wait_until_started(120):
        sys.exit(f"not ready: {runtime.not_ready_because()}")
    shipped: GrpcServer | None = runtime.grpc
    assert shipped is not None
    more: list[GrpcServer] = []
    for kind, address in wanted:
        if kind != "threads":
            AsyncServer(shipped.calls, address, 0 if kind == "aio" else settings.threads).start()
        elif address != os.environ["PLUMBLINE_GRPC_BIND"]:
            more.append(GrpcServer(shipped.calls.services, address, threads=settings.threads))
            more[-1].start()
    print("\nready", flush=True)
    sys.stdin.read()
    for server in more:
        server.stop(1)
    runtime.stop()


if __name__ == "__main__":
    main()
