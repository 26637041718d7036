"""Load on an environment.

  python -m release.load start dev --rate 600 --duration 15m --versions 1.0.0,1.1.0
  python -m release.load status dev
  python -m release.load stop dev --out results/load.json

Exit codes: 0 done, 1 failed, 2 bad input (nothing touched), 3 a run is under way already.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from infra import allocation, config, outputs, paths
from infra.backend import Backend
from infra.inventory import Inventory, InventoryError
from release.engine.request import BadRequest
from release.load.run import AlreadyRuns, LoadClient, LoadError, Wanted
from release.targets.transport import HostUnreachable

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Env = Annotated[str, typer.Argument(help="environment, such as dev")]
Instance = Annotated[
    str, typer.Option(envvar="PLUMBLINE_INSTANCE", help="a parallel copy of the environment")
]


@app.command()
def start(
    env: Env,
    instance: Instance = "",
    rate: Annotated[int, typer.Option(help="requests a second")] = 600,
    duration: Annotated[str, typer.Option(help="such as 900s or 15m; it stops by itself")] = "900s",
    versions: Annotated[str, typer.Option(help="versions to count apart, with commas")] = "",
) -> None:
    """Begin to send."""

    def work() -> None:
        wanted = Wanted(rate, duration, [v for v in versions.split(",") if v])
        LoadClient(read_inventory(env, instance)).start(wanted)
        print(f"load runs: {rate} requests/s for {duration}")

    _told(work)


@app.command()
def stop(
    env: Env,
    instance: Instance = "",
    out: Annotated[Path | None, typer.Option(help="also write the counts to this file")] = None,
) -> None:
    """End it gracefully and print its counts as JSON."""

    def work() -> None:
        counts = LoadClient(read_inventory(env, instance)).stop().model_dump_json(indent=2)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(counts + "\n")
        print(counts)

    _told(work)


@app.command()
def status(env: Env, instance: Instance = "") -> None:
    """Print whether it runs, the counts once it ended, and failures outside a fault."""

    def work() -> None:
        now = LoadClient(read_inventory(env, instance)).status()
        counts = now.summary.model_dump() if now.summary else None
        print(json.dumps({**dataclasses.asdict(now), "summary": counts}, indent=2))

    _told(work)


def read_inventory(env: str, instance: str) -> Inventory:
    """The inventory of an environment that is up. Raises ValueError or InventoryError."""
    config.check_environment(env)
    record = allocation.read(env, instance)
    if record is None:
        option = f" --instance {instance}" if instance else ""
        raise InventoryError(
            f"environment: {paths.qualified(env, instance)} is not up; run: python -m infra up {env}{option}"
        )
    return outputs.read_inventory(outputs.read(Backend(env, instance, record.docker_plugin)))


def _told(work: Callable[[], None]) -> None:
    """Run it; an error is one line and an exit code."""
    try:
        work()
    except (BadRequest, InventoryError, ValueError) as error:
        code, message = 2, str(error)
    except AlreadyRuns as error:
        code, message = 3, str(error)
    except (LoadError, HostUnreachable, outputs.OutputsError, LookupError, OSError) as error:
        code, message = 1, str(error)
    else:
        return
    print(message, file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
