"""Measure the ID service.

  python -m release.load.bench ids [--seconds 8] [--out results/bench/ids.json]
  python -m release.load.bench memory [--minutes 30] [--out results/bench/memory.json]

The service runs from a bundle of this checkout on the hosts' image, with Postgres, Redis and etcd beside it;
load comes from wrk on the same machine, over kept-alive connections. Exit codes: 0 measured, 1 not, 2 bad
input.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from release.load.bench import in_process, service
from release.load.bench.bundle import images, newest_bundle
from release.load.bench.stand import PYTHON, SERVICE_PORTS, Service, Stand, StandError, docker

grpc_compare, grpc_servers = (
    Path(__file__).with_name(name) for name in ("grpc_compare.py", "grpc_servers.py")
)
COLLECTOR = Path(__file__).with_name("collector.py")
COLLECTOR_PORT = 4318
TRACE_ROUNDS = 5
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def memory(
    minutes: Annotated[float, typer.Option(min=1, max=600, help="how long")] = 30,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("results/bench/memory.json"),
) -> None:
    """Watch the service's memory under a steady mix of requests."""
    bundle, version = newest_bundle()
    with Stand(images(), bundle, version) as stand:
        plain = stand.service()
        plain.start()
        found = service.memory_over(stand, plain, minutes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['start_mb']} MB at first, {found['end_mb']} MB after {minutes:g} min: {out}")


@app.command()
def ids(
    seconds: Annotated[float, typer.Option(min=1, max=600, help="of each measurement")] = 8,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("results/bench/ids.json"),
) -> None:
    """Measure what the service gives and what it costs."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    try:
        found = measure(seconds, say)
    except (StandError, RuntimeError, OSError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(out)


def measure(seconds: float, say: service.Say) -> dict[str, Any]:
    """Everything, as the file has it."""
    say("in process")
    found: dict[str, Any] = {"in_process": {**in_process.costs(), **in_process.throughputs(0.5)}}
    bundle, version = newest_bundle()
    with Stand(images(), bundle, version) as stand:
        plain = stand.service()
        began = time.monotonic()
        plain.start()
        say(f"the service is ready after {time.monotonic() - began:.1f} s")
        found.update(service.figures(stand, plain, seconds, say))
        say("gRPC against HTTP")
        found["grpc"] = grpc_against_http(stand, plain)
        say("what tracing costs")
        found["tracing"] = traced(stand, plain, seconds)
    found["machine"] = {"cores": os.cpu_count()}
    return found


def grpc_against_http(stand: Stand, plain: Service) -> dict[str, Any]:
    """Both on the service's host, over its loopback, by its own Python."""
    for module in (grpc_compare, grpc_servers):
        docker("cp", str(module), f"{stand.host}:/opt/")
    settings = [f"--env={key}={value}" for key, value in plain.settings().items()]
    program = f"/opt/{grpc_compare.name}"
    where = ["--http", f"http://127.0.0.1:{plain.port}", "--key", stand.key]
    said = docker("exec", *settings, stand.host, PYTHON, program, *where, timeout_s=600)
    return dict(json.loads(said[said.index("{") :]))


def traced(stand: Stand, plain: Service, seconds: float) -> dict[str, Any]:
    """A second service that sends traces to a collector, beside the first."""
    docker("cp", str(COLLECTOR), f"{stand.host}:/opt/collector.py")
    docker("exec", "--detach", stand.host, "/usr/bin/python3", "/opt/collector.py", str(COLLECTOR_PORT))
    url = f"http://127.0.0.1:{COLLECTOR_PORT}"
    other = stand.service("traced", SERVICE_PORTS[1], PLUMBLINE_SLOT="green", PLUMBLINE_OTLP_URL=url)
    other.start()
    return service.tracing_cost(stand, plain, other, min(seconds, 5), TRACE_ROUNDS)


if __name__ == "__main__":
    app()
