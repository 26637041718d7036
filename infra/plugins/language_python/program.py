"""One stack's program in a process of its own: a RunRequest on standard input, exit 0 when it went well."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2

from infra.plugins.lifetime import end_with_parent


def main() -> int:
    """Run it as the Automation API's own server does; that reports errors to the engine itself."""
    end_with_parent()
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    folder = Path(request.info.program_directory or request.pwd)
    entry = folder / (request.info.entry_point or request.program or ".")
    sys.path.insert(0, str(folder))
    # The Automation API's server takes the engine's address as the first argument of the request.
    request.args[:] = [sys.argv[1], *request.args]

    def program() -> None:
        runpy.run_path(str(entry), run_name="__main__")

    response = LanguageServer(program).Run(request, None)  # type: ignore[no-untyped-call]
    return 1 if response.error else 0


if __name__ == "__main__":
    sys.exit(main())
