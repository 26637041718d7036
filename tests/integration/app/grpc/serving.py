"""Processes that serve gRPC as gunicorn's workers do: made by fork, each with a server of its own.

Each says on stdout `serving PORT PID` and, at SIGTERM, drains. Its IDs all are its own process number.
"""

import argparse
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace


def serve(given: argparse.Namespace) -> None:
    from app.grpc_api.calls import Services
    from app.grpc_api.server import GrpcServer
    from app.ids.model import Batch

    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    def draw(caller, tag, count):
        time.sleep(1 if tag == "slow" else 0)
        return "segment", Batch("int64", (range(os.getpid(), os.getpid() + count),))

    services = Services(
        admit=lambda token, scope: SimpleNamespace(key_id=1),
        draw=draw,
        lease=draw,
        decode=lambda caller, text, tag: {"id": text},
        not_ready_because=lambda: None,
    )
    server = GrpcServer(services, given.bind, certificate=given.certificate, key=given.key)
    server.start()
    print(f"serving {server.bind.port} {os.getpid()}", flush=True)
    stopped.wait()
    print(f"stopped {server.stop(10)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", default="127.0.0.1:0")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    if given.processes == 1:
        serve(given)
        return
    children = []
    for _ in range(given.processes):
        if (child := os.fork()) == 0:
            serve(given)
            os._exit(0)
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGTERM) for child in children])
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
