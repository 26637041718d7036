"""Draw IDs through faults and look for one that was given twice.

  python -m release.load.soak ids [--ids 100000000] [--etcd-away 60] [--out results/soak/ids.json]

Two services, data centres 0 and 1, of two processes each draw from the same tags while clocks step, processes
die and Postgres, Redis and etcd go away. Exit codes: 0 nothing twice and enough drawn, 1 not so, 2 bad input.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from release.load.bench.bundle import images, newest_bundle
from release.load.bench.stand import PACKAGES, SERVICE_PORTS, Service, Stand, docker
from release.load.soak.counting import Drawn
from release.load.soak.drawing import Drawer
from release.load.soak.scenario import Clock, plan

TAGS = ("orders", "events")
COUNT = 20_000
SHIM = "/opt/clock"
CLOCK = Path(__file__).with_name("sitecustomize.py")
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """So that `ids` is a command of its own."""


@app.command(help=__doc__)
def ids(
    ids: Annotated[int, typer.Option(min=100_000, help="IDs to draw at least")] = 100_000_000,
    etcd_away: Annotated[float, typer.Option(min=1, max=600, help="seconds that etcd is gone")] = 60,
    rate: Annotated[float, typer.Option(min=1000, help="IDs a second, all together")] = 600_000,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("results/soak/ids.json"),
) -> None:
    """Run it."""
    bundle, version = newest_bundle()
    with Stand(images(), bundle, version) as stand:
        docker("exec", stand.host, "mkdir", "-p", SHIM)
        docker("cp", str(CLOCK), f"{stand.host}:{SHIM}/")
        result = soak(stand, ids, etcd_away, rate)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['ids']:,} IDs in {result['duration_s']} s, {result['duplicates']} given twice: {out}")
    raise typer.Exit(0 if result["duplicates"] == 0 and result["ids"] >= ids else 1)


def soak(stand: Stand, wanted: int, etcd_away: float, rate: float) -> dict[str, Any]:
    """Start, strike, draw, count."""
    services = [
        stand.service(f"dc{dc}", SERVICE_PORTS[dc], PLUMBLINE_DATACENTER=str(dc), **stepped(f"dc{dc}"))
        for dc in (0, 1)
    ]
    clocks = [Clock(service) for service in services]
    for service, clock in zip(services, clocks, strict=True):
        clock.set(0)
        service.start()
    drawn = Drawn()
    drawers = [
        drawer(stand, service, tag, drawn, rate) for service in services for tag in TAGS for _ in (1, 2)
    ]
    began = time.monotonic()
    for each in drawers:
        each.start()
    struck = strike(plan(stand, services, clocks, etcd_away), drawn, drawers, began)
    while drawn.total() < wanted and time.monotonic() - began < 1_800:
        time.sleep(1)
        say(began, f"drawing on: {drawn.total():,} of {wanted:,}", end="\r")
    for each in drawers:
        each.stop()
    duration = time.monotonic() - began
    say(began, "counting")
    return {
        "ids": drawn.total(),
        "duplicates": drawn.duplicates(),
        "out_of_order_per_tag": dict(drawn.out_of_order),
        "kinds": drawn.kinds(),
        "faults": struck,
        "answers": {each.name: dict(each.answers) for each in drawers},
        "duration_s": round(duration, 1),
    }


def stepped(name: str) -> dict[str, str]:
    """The environment under which a service's wall clock follows a file."""
    return {"STAND_CLOCK": f"/run/{name}.clock", "PYTHONPATH": f"{SHIM}:{PACKAGES}"}


_numbers: dict[str, int] = {}


def drawer(stand: Stand, service: Service, tag: str, drawn: Drawn, rate: float) -> Drawer:
    """One of the eight."""
    base = f"{service.name}-{tag}"
    number = _numbers[base] = _numbers.get(base, 0) + 1
    headers = {**stand.authorization, "Accept": "application/octet-stream"}
    per_s = rate / 8
    return Drawer(f"{base}-{number}", stand.address, service.port, headers, tag, COUNT, per_s, drawn)


def strike(faults: list[Any], drawn: Drawn, drawers: list[Drawer], began: float) -> list[dict[str, Any]]:
    """Bring the faults about, one after the other, and note what was answered meanwhile."""
    struck = []
    time.sleep(5)
    for fault in faults:
        at, ids_before, failed_before = time.monotonic() - began, drawn.total(), failures(drawers)
        say(began, fault.name)
        fault.strike()
        time.sleep(fault.settle_s)
        struck.append(
            {
                "name": fault.name,
                "at_s": round(at, 1),
                "took_s": round(time.monotonic() - began - at, 1),
                "ids": drawn.total() - ids_before,
                "requests_failed": failures(drawers) - failed_before,
            }
        )
    return struck


def failures(drawers: list[Drawer]) -> int:
    """Requests that got no IDs."""
    return sum(number for each in drawers for outcome, number in each.answers.items() if outcome != "200")


def say(began: float, what: str, end: str = "\n") -> None:
    """Progress, on standard error."""
    print(f"{time.monotonic() - began:6.0f} s  {what}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
