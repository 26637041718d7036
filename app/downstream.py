"""The policy service that the ID service depends on: `python -m app.downstream [--bind 127.0.0.1:8099]`.

GET /v1/policies/TAG -> {"enabled": true, "max_count": 100000}; GET /healthz. With
PLUMBLINE_FAULTS_ALLOWED=true it answers late, with an error or not at all when a request's X-Plumbline-Fault
asks for it (`slow;delay_s=0.8`, `error`, `timeout`); else it ignores the header.
"""

import argparse
import json
import os
import re
import select
import signal
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST_DELAY_S = 10.0
LONGEST_SILENCE_S = 15.0
MOST_IDS = 100_000
FAULT_HEADER = "X-Plumbline-Fault"
_PATH = re.compile(r"/v1/policies/[A-Za-z0-9._-]{1,64}", re.ASCII)
_SLOW = re.compile(r"slow;delay_s=(\d+(?:\.\d+)?)", re.ASCII)


class Server(ThreadingHTTPServer):
    """One thread a connection; the few workers of one host keep theirs open."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], *, faults_allowed: bool) -> None:
        super().__init__(address, Handler)
        self.faults_allowed = faults_allowed


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: Server

    def do_GET(self) -> None:
        """Answer a look-up."""
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, {"status": "ok"})
            return
        fault = self.headers.get(FAULT_HEADER, "") if self.server.faults_allowed else ""
        if fault == "error":
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "as the fault asked"})
            return
        if fault == "timeout":
            self._say_nothing()
            return
        if slow := _SLOW.fullmatch(fault):
            # Right here a sleep is the real thing: a dependency that takes long to answer.
            time.sleep(min(float(slow[1]), LONGEST_DELAY_S))
        if _PATH.fullmatch(self.path):
            self._answer(HTTPStatus.OK, {"enabled": True, "max_count": MOST_IDS})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "no such path"})

    def _say_nothing(self) -> None:
        """Keep the connection open without an answer until the client gives up."""
        silence = select.poll()
        silence.register(self.connection, select.POLLIN | select.POLLHUP)
        silence.poll(LONGEST_SILENCE_S * 1000)
        self.close_connection = True

    def _answer(self, status: HTTPStatus, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """No line a request: the caller counts and logs failures."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit 2 for a bad address."""
    parser = argparse.ArgumentParser(prog="python -m app.downstream", description=__doc__)
    parser.add_argument("--bind", default=os.environ.get("PLUMBLINE_DOWNSTREAM_BIND", "127.0.0.1:8099"))
    bind = parser.parse_args(arguments).bind
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        print(f"--bind: {bind!r} is not allowed; allowed: HOST:PORT", file=sys.stderr)
        return 2
    allowed = os.environ.get("PLUMBLINE_FAULTS_ALLOWED", "").lower() in ("1", "true", "yes", "on")
    server = Server((host, int(port)), faults_allowed=allowed)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"event": "downstream serves", "bind": bind, "faults_allowed": allowed}), flush=True)
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
