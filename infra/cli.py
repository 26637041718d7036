"""The command line of provisioning. Exit codes: 0 done, 1 failed, 2 bad input (nothing touched), 3 locked."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from infra import allocation, inventory, outputs, paths, preconditions
from infra.allocation import AllocationError
from infra.config import ConfigurationError
from infra.engine import EngineBusyError
from infra.environment import Environment, LayerFailedError, LockedError
from infra.layer_run import LayerRun, as_summary
from infra.progress import Progress
from infra.readiness import NotReadyError

EXAMPLES = """Examples:

  python -m infra up dev                      make or repair the environment

  python -m infra up dev --instance alice     a parallel copy

  python -m infra preview dev                 what would change

  eval "$(python -m infra env dev)"; cd stacks/foundation; pulumi up -s dev

  python -m infra destroy dev                 remove all that it made
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Provision an environment.",
    epilog=EXAMPLES,
)

Env = Annotated[str, typer.Argument(metavar="ENV", help="The environment, such as dev.")]
Instance = Annotated[
    str, typer.Option("--instance", envvar="PLUMBLINE_INSTANCE", help="A parallel copy: 1 to 12 of a-z 0-9.")
]
Json = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on standard output.")]

T = TypeVar("T")
_BAD_INPUT = (
    ConfigurationError,
    AllocationError,
    preconditions.PreconditionError,
    inventory.InventoryError,
    paths.MissingToolError,
)
_LOCKED = (LockedError, EngineBusyError)
_FAILED = (LayerFailedError, NotReadyError, outputs.OutputsError)


@app.command(epilog="Example: python -m infra up dev --instance alice")
def up(env: Env, instance: Instance = "", as_json: Json = False) -> None:
    """Make the environment what its configuration says; repairs drift, finishes an interrupted run."""
    _run(env, instance, as_json, Environment.up)


@app.command(epilog="Example: python -m infra preview dev")
def preview(env: Env, instance: Instance = "", as_json: Json = False) -> None:
    """Say what `up` would change."""
    _run(env, instance, as_json, Environment.preview)


@app.command(epilog="Example: python -m infra refresh dev")
def refresh(env: Env, instance: Instance = "", as_json: Json = False) -> None:
    """Make the state say what is really there."""
    _run(env, instance, as_json, Environment.refresh)


@app.command(epilog="Example: python -m infra destroy dev")
def destroy(env: Env, instance: Instance = "", as_json: Json = False) -> None:
    """Remove every container, network and volume that the environment made, and nothing else."""
    _run(env, instance, as_json, Environment.destroy)


@app.command("outputs", epilog="Example: python -m infra outputs dev --json")
def show_outputs(
    env: Env,
    instance: Instance = "",
    as_json: Json = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secrets in clear.")] = False,
) -> None:
    """Print the stacks' outputs; secrets are masked unless asked for."""

    def read() -> dict[str, Any]:
        environment = Environment(env, instance, lambda _run: None, _say)
        found = outputs.read(environment.engine(_recorded(env, instance)), show_secrets=show_secrets)
        return {
            layer: item.plain | dict.fromkeys(item.secret_names, "[secret]") | item.secrets
            for layer, item in found.items()
        }

    values = _guarded(read)
    if as_json:
        typer.echo(json.dumps(values, indent=1))
        return
    for layer, items in values.items():
        for key, value in items.items():
            typer.echo(f"{layer}.{key} = {value if isinstance(value, str) else json.dumps(value)}")


@app.command("env", epilog='Example: eval "$(python -m infra env dev)"')
def show_env(env: Env, instance: Instance = "") -> None:
    """Print shell exports under which `pulumi` works on the environment in stacks/<layer>."""

    def prepare() -> dict[str, str]:
        environment = Environment(env, instance, lambda _run: None, _say)
        return environment.prepare().settings

    for key, value in _guarded(prepare).items():
        typer.echo(f"export {key}={shlex.quote(value)}")


def _recorded(env: str, instance: str) -> allocation.Allocation:
    record = allocation.read(env, instance)
    if record is None:
        name = paths.qualified(env, instance)
        raise AllocationError(f"environment: {name} is not up; run: python -m infra up {env}")
    return record


def _run(env: str, instance: str, as_json: bool, action: Callable[[Environment], list[LayerRun]]) -> None:
    begun = time.monotonic()
    with Progress() as progress:
        runs = _guarded(lambda: action(Environment(env, instance, progress.report, progress.say)))
    seconds = time.monotonic() - begun
    if as_json:
        typer.echo(json.dumps(as_summary(env, instance, runs, seconds)))
    else:
        _say(f"{paths.full_name(env, instance)}: {seconds:.1f} s")


def _guarded(action: Callable[[], T]) -> T:
    try:
        return action()
    except _BAD_INPUT as error:
        _fail(error, 2)
    except _LOCKED as error:
        _fail(error, 3)
    except _FAILED as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> NoReturn:
    _say(f"error: {error}")
    raise typer.Exit(code)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line."""
    app()
