"""The SDK's gRPC face of a provider, with what the SDK leaves out: handshake and attach.

Without them the engine can't attach to a provider that already runs (infra/plugins/attached.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
from google.protobuf import empty_pb2
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.plugins.docker import VERSION
from infra.plugins.docker.provider import DockerProvider


class DockerServicer(ProviderServicer):
    """Serves a DockerProvider."""

    def __init__(self, args: list[str], engine_address: str = "") -> None:
        super().__init__(args, VERSION, DockerProvider(), engine_address)

    async def Handshake(  # noqa: N802
        self, _request: provider_pb2.ProviderHandshakeRequest, _context: Any
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Say what the provider understands, as `configure` does."""
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=False
        )

    async def Attach(self, _request: plugin_pb2.PluginAttach, _context: Any) -> empty_pb2.Empty:  # noqa: N802
        """Take an engine that came to the running server; the provider needs nothing of it."""
        return empty_pb2.Empty()


async def serve(started: Callable[[int], None], args: list[str], over: asyncio.Event | None = None) -> None:
    """Serve on a free port of 127.0.0.1, which `started` is told, until `over` is set (or for ever)."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(DockerServicer(args), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    started(port)
    await (over or asyncio.Event()).wait()
    await server.stop(grace=None)
