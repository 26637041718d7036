"""The language host: what Pulumi's engine asks about Python projects, and running their programs.

It serves what `pulumi up`, `preview`, `refresh`, `destroy` and `about` need. Code generation and plugins
written in Python are left to the official host, and refused by name.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

PROGRAM = "infra.plugins.language_python.program"


class PythonHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs every program in a fresh process, as the official host does."""

    def __init__(self, engine_address: str) -> None:
        self._engine = engine_address
        self._running: set[subprocess.Popen[bytes]] = set()

    def Handshake(  # noqa: N802
        self, request: language_pb2.LanguageHandshakeRequest, _context: Any
    ) -> language_pb2.LanguageHandshakeResponse:
        """Take the engine's address."""
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: Any, _context: Any) -> plugin_pb2.PluginInfo:  # noqa: N802
        """The SDK's version is this host's."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def About(self, _request: Any, _context: Any) -> language_pb2.AboutResponse:  # noqa: N802
        """Which Python runs the programs."""
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetRequiredPlugins(  # noqa: N802
        self, _request: Any, _context: Any
    ) -> language_pb2.GetRequiredPluginsResponse:
        """None: the engine finds plugins when resources ask for them."""
        return language_pb2.GetRequiredPluginsResponse()

    def GetRequiredPackages(  # noqa: N802
        self, _request: Any, _context: Any
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None, as above."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetProgramDependencies(  # noqa: N802
        self, _request: Any, _context: Any
    ) -> language_pb2.GetProgramDependenciesResponse:
        """The Pulumi packages of this interpreter."""
        found = [item for item in metadata.distributions() if item.name.startswith("pulumi")]
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=item.name, version=item.version) for item in found]
        )

    def InstallDependencies(self, _request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The platform's own set-up does that."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "dependencies come from: python3 -m tools.setup")

    def RuntimeOptionsPrompts(  # noqa: N802
        self, _request: Any, _context: Any
    ) -> language_pb2.RuntimeOptionsResponse:
        """No questions."""
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: language_pb2.RunRequest, _context: Any) -> language_pb2.RunResponse:  # noqa: N802
        """Run a program to its end. The request goes in by standard input: it may hold secrets."""
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", PROGRAM, self._engine],
            stdin=subprocess.PIPE,
            cwd=request.info.program_directory or request.pwd,
        )
        self._running.add(process)
        try:
            process.communicate(request.SerializeToString())
        finally:
            self._running.discard(process)
        if process.returncode == 0:
            return language_pb2.RunResponse()
        # The program has told the engine what went wrong: nothing to add.
        return language_pb2.RunResponse(error="", bail=True)

    def Cancel(self, _request: Any, _context: Any) -> empty_pb2.Empty:  # noqa: N802
        """End the programs that run."""
        for process in list(self._running):
            process.terminate()
        return empty_pb2.Empty()
