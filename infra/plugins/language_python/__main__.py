"""Serve the language host: the engine starts this with its own address as an argument."""

from __future__ import annotations

import argparse
import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc

from infra.plugins.language_python.host import PythonHost
from infra.plugins.lifetime import end_with_parent


def main() -> None:
    """Serve until the engine ends it."""
    parser = argparse.ArgumentParser(description="Pulumi language host for Python")
    parser.add_argument("engine", nargs="?", default="")
    known, _ = parser.parse_known_args()
    end_with_parent()
    server = grpc.server(ThreadPoolExecutor(8), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(PythonHost(known.engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # The engine ends its plugins with an interrupt.
    with contextlib.suppress(KeyboardInterrupt):
        server.wait_for_termination()


main()
