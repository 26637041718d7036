"""Single IDs over gRPC against HTTP keep-alive, one caller, one call after the other.

  python3 grpc_compare.py --http http://127.0.0.1:8001 --key plk_... [--tag events] [--calls 2000]

Run it where the service runs, with the service's environment and packages (PLUMBLINE_*, PYTHONPATH of a
bundle; only this file and grpc_servers.py are needed): it starts the servers of grpc_servers.py beside the
service, over the same stores, and prints what `compare` returns as JSON. Everything is on one machine and
its caller is Python, whose own cost is in every figure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERVERS = ("threads", "aio", "aio_executor")
SHIPPED = "threads"
WARM_UP = 200
TCP_PORT = 15_051
READY_S = 120.0

Call = Callable[[], object]


def compare(
    http_url: str, key: str, *, tag: str = "events", calls: int = 2_000, python: str = sys.executable
) -> dict[str, Any]:
    """p50 and p99 in microseconds of every variant.

    Keys: http_p50_us, http_p99_us; p50_us and p99_us, the best of what the service ships (`variant` says
    which); lower: by what share p50_us is below http_p50_us; variants: "server/transport/call" -> both.
    Raises RuntimeError with a server's last words when it doesn't come up, or the error of a call.
    """
    variants: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        addresses = {
            (server, transport): address
            for number, server in enumerate(SERVERS)
            for transport, address in (
                ("tcp", f"127.0.0.1:{TCP_PORT + number}"),
                ("unix", f"unix:{folder}/{server}.sock"),
            )
        }
        with _servers(python, folder, [f"{server}={at}" for (server, _), at in addresses.items()]):
            for (server, transport), address in addresses.items():
                for kind, ways in (("unary", _unary), ("stream", _stream)):
                    with ways(address, key, tag) as call:
                        variants[f"{server}/{transport}/{kind}"] = timed(call, calls)
    with _http(http_url, key, tag) as call:
        plain = timed(call, calls)
    return summary(plain, variants)


def summary(plain: dict[str, float], variants: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What `compare` returns, of the figures of HTTP and of each variant."""
    name, best = min(
        ((name, found) for name, found in variants.items() if name.startswith(f"{SHIPPED}/")),
        key=lambda one: one[1]["p50_us"],
    )
    return {
        "p50_us": best["p50_us"],
        "p99_us": best["p99_us"],
        "http_p50_us": plain["p50_us"],
        "http_p99_us": plain["p99_us"],
        "variant": name,
        "lower": round(1 - best["p50_us"] / plain["p50_us"], 3),
        "variants": variants,
    }


def timed(call: Call, calls: int, clock_ns: Callable[[], int] = time.perf_counter_ns) -> dict[str, float]:
    """p50 and p99 of one call after the other, after some that don't count."""
    for _ in range(WARM_UP):
        call()
    took = []
    for _ in range(calls):
        began = clock_ns()
        call()
        took.append(clock_ns() - began)
    took.sort()
    return {f"p{share}_us": round(took[(len(took) * share) // 100] / 1_000, 1) for share in (50, 99)}


@contextmanager
def _servers(python: str, folder: str, wanted: list[str]) -> Iterator[None]:
    program, log = Path(__file__).with_name("grpc_servers.py"), Path(folder, "servers.log")
    # Apart from the service that is measured, which has the same environment.
    apart = {"PLUMBLINE_WORKERS": "1", "PLUMBLINE_RUNTIME_DIR": f"{folder}/run", "PLUMBLINE_STATE_DIR": ""}
    environment = {key: value for key, value in (os.environ | apart).items() if value}
    with log.open("w") as said:
        process = subprocess.Popen(
            [python, str(program), *wanted],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        deadline = time.monotonic() + READY_S
        while "\nready\n" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the servers did not come up; they said: {log.read_text()[-800:]}")
            time.sleep(0.1)
        yield
    finally:
        try:
            process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def _unary(address: str, key: str, tag: str) -> Iterator[Call]:
    from app.grpc_api.ids_pb2 import GenerateRequest  # noqa: PLC0415  # of the bundle
    from app.grpc_api.ids_pb2_grpc import IdsStub  # noqa: PLC0415

    import grpc  # noqa: PLC0415  # isort: skip

    with grpc.insecure_channel(address) as channel:
        generate, request = IdsStub(channel).Generate, GenerateRequest(tag=tag)  # type: ignore[no-untyped-call]
        metadata = (("authorization", f"Bearer {key}"),)
        yield lambda: generate(request, metadata=metadata, timeout=5)


@contextmanager
def _stream(address: str, key: str, tag: str) -> Iterator[Call]:
    from app.grpc_api.ids_pb2 import GenerateRequest  # noqa: PLC0415  # of the bundle
    from app.grpc_api.ids_pb2_grpc import IdsStub  # noqa: PLC0415

    import grpc  # noqa: PLC0415  # isort: skip

    with grpc.insecure_channel(address) as channel:
        request, asked = GenerateRequest(tag=tag), queue.SimpleQueue[GenerateRequest | None]()
        replies = IdsStub(channel).GenerateStream(  # type: ignore[no-untyped-call]
            iter(asked.get, None), metadata=(("authorization", f"Bearer {key}"),)
        )

        def call() -> None:
            asked.put(request)
            if next(replies).WhichOneof("outcome") != "ids":
                raise RuntimeError("a batch was refused")

        yield call
        asked.put(None)


@contextmanager
def _http(url: str, key: str, tag: str) -> Iterator[Call]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=5)
    headers = {"Authorization": f"Bearer {key}"}

    def call() -> None:
        connection.request("POST", f"/v1/ids/{tag}", headers=headers)
        answer = connection.getresponse()
        if answer.read() and answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"HTTP {answer.status}")

    try:
        yield call
    finally:
        connection.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--http", required=True, help="the service's URL")
    parser.add_argument("--key", required=True, help="an API key with the scope issue")
    parser.add_argument("--tag", default="events")
    parser.add_argument("--calls", type=int, default=2_000, help="of each variant")
    given = parser.parse_args()
    print(json.dumps(compare(given.http, given.key, tag=given.tag, calls=given.calls), indent=2))


if __name__ == "__main__":
    main()
