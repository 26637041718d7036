"""Bringing a whole environment up, and down: every layer in order, safe to repeat after any interruption."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import yaml
from docker.errors import APIError, NotFound
from pulumi import automation

from infra import allocation, config, paths, preconditions, readiness
from infra.allocation import Allocation
from infra.backend import base_settings
from infra.config import FoundationConfig, Layer, ObservabilityConfig
from infra.engine import Engine
from infra.layer_run import Action, LayerRun, Report, run_layer
from infra.plugins.attached import attached
from infra.plugins.choice import Choice, docker_plugin

# Layers of one row need only those of earlier rows.
ORDER: tuple[tuple[Layer, ...], ...] = (("foundation",), ("data", "observability"))
_LOCK = "infra.lock"


class LockedError(RuntimeError):
    """Another `infra` command works on the environment."""


class LayerFailedError(RuntimeError):
    """Pulumi reported a failure; the message is its first lines."""


class Environment:
    """One environment, with its lock held while it is changed.

    report: called whenever a layer's run changes. say: takes one line for people.
    """

    def __init__(self, env: str, instance: str, report: Report, say: Callable[[str], None]) -> None:
        config.check_environment(env)
        try:
            paths.qualified(env, instance)
        except ValueError as error:
            raise config.ConfigurationError(str(error)) from error
        self.env, self.instance = env, instance
        self._report, self._say = report, say

    # -- actions -----------------------------------------------------------------------------------------

    def up(self) -> list[LayerRun]:
        """Make the environment what its configuration says, repairing drift; wait until it answers."""
        client = preconditions.daemon()
        configs = self._configs()
        preconditions.check_disk(client)
        preconditions.check_images(client, replaced=_replaced(configs))
        with self._lock():
            record = self.allocate(client, configs)
            preconditions.check_subnet(client, record)
            preconditions.check_ports(client, record)
            engine = self.engine(record)
            self._tidy(engine)
            runs = self._rows(engine, "up", ORDER)
            if any(run.changed for run in runs):
                readiness.wait(client, record.name, self._say)
        return runs

    def preview(self) -> list[LayerRun]:
        """Say what `up` would do. A layer that needs one which isn't there yet is skipped."""
        client = preconditions.daemon()
        configs = self._configs()
        with self._lock():
            record = self.allocate(client, configs)
            engine = self.engine(record)
            self._tidy(engine)
            return self._rows(engine, "preview", ORDER)

    def refresh(self) -> list[LayerRun]:
        """Make the state say what is there."""
        preconditions.daemon()
        with self._lock():
            engine = self.engine(self._recorded())
            self._tidy(engine)
            return self._rows(engine, "refresh", ORDER)

    def destroy(self) -> list[LayerRun]:
        """Remove all that the environment made, and forget its subnet, ports and secrets."""
        client = preconditions.daemon()
        with self._lock():
            record = allocation.read(self.env, self.instance)
            runs: list[LayerRun] = []
            if record is not None:
                engine = self.engine(record)
                self._tidy(engine)
                rows = tuple(tuple(layer for layer in row if engine.exists(layer)) for row in reversed(ORDER))
                runs = self._rows(engine, "destroy", rows)
            self._remove_leftovers(client)
            self._forget()
        return runs

    def prepare(self) -> Engine:
        """Choose subnet and ports and make the stacks, so that `pulumi` by hand works on the environment."""
        client = preconditions.daemon()
        configs = self._configs()
        with self._lock():
            engine = self.engine(self.allocate(client, configs))
            self._tidy(engine)
            for layer in config.LAYERS:
                engine.open(layer)
        return engine

    # -- parts -------------------------------------------------------------------------------------------

    def engine(self, record: Allocation) -> Engine:
        """Pulumi's engine for this environment."""
        return Engine(self.env, self.instance, record.docker_plugin)

    def allocate(self, client: docker.DockerClient, configs: dict[Layer, Any]) -> Allocation:
        """The record of subnet and ports, chosen and kept when there is none."""
        cgroup = preconditions.cgroup_version(client)
        plugin: Choice = "bundled"
        if allocation.read(self.env, self.instance) is None:
            plugin = docker_plugin(paths.tool("pulumi"), {**os.environ, **base_settings()})
        with allocation.choosing():
            known = allocation.read(self.env, self.instance)
            if known is None:
                known = self._choose(client, configs, cgroup, plugin)
            wanted = known.model_copy(update={"cgroup_version": cgroup, "ports": self._ports(known, configs)})
            if wanted != known or not allocation.record_path(self.env, self.instance).exists():
                allocation.write(wanted)
        return wanted

    def _choose(
        self, client: docker.DockerClient, configs: dict[Layer, Any], cgroup: int, plugin: Choice
    ) -> Allocation:
        name = paths.full_name(self.env, self.instance)
        taken = [subnet for other, subnet in preconditions.networks(client) if other != name]
        taken += [record.subnet for record in allocation.recorded()]
        subnet = configs["foundation"].subnet
        if self.instance:
            subnet = allocation.free_subnet(name, [*taken, subnet])
        return Allocation(
            environment=self.env,
            instance=self.instance,
            subnet=subnet,
            ports={},
            cgroup_version=1 if cgroup == 1 else 2,
            docker_plugin=plugin,
        )

    def _ports(self, known: Allocation, configs: dict[Layer, Any]) -> dict[str, int]:
        """Configured ports for the default instance, free ones for others; those already had are kept."""
        foundation: FoundationConfig = configs["foundation"]
        observability: ObservabilityConfig = configs["observability"]
        names = {f"edge{n}": foundation.edge_port + n - 1 for n in range(1, foundation.hosts.edge + 1)}
        names["prometheus"] = observability.prometheus.port
        if not self.instance:
            return names
        avoid = {port for record in allocation.recorded() for port in record.ports.values()}
        ports: dict[str, int] = {}
        for name in names:
            ports[name] = known.ports.get(name) or allocation.free_port(avoid | set(ports.values()))
        return ports

    def _configs(self) -> dict[Layer, Any]:
        """Every layer's configuration, so that a wrong value in any of them ends here."""
        local: dict[str, Any] = {}
        file = paths.state_root() / paths.qualified(self.env, self.instance) / "config"
        file /= f"Pulumi.{paths.qualified(self.env, self.instance)}.yaml"
        with contextlib.suppress(FileNotFoundError):
            local = (yaml.safe_load(file.read_text()) or {}).get("config") or {}
        return {
            layer: config.load(layer, model, self.env, config.own_values(layer, local))  # type: ignore[type-var]
            for layer, model in config.MODELS.items()
        }

    def _recorded(self) -> Allocation:
        record = allocation.read(self.env, self.instance)
        if record is None:
            name = paths.qualified(self.env, self.instance)
            raise allocation.AllocationError(f"environment: {name} is not up; run: python -m infra up")
        return record

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the environment. The kernel frees it when the holder dies, however it dies."""
        path = paths.state_dir(self.env, self.instance) / _LOCK
        with path.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise LockedError(_who(self.env, self.instance, lock.read())) from None
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}))
            lock.flush()
            yield

    def _tidy(self, engine: Engine) -> None:
        for layer in config.LAYERS:
            engine.tidy(layer, self._say)

    def _rows(self, engine: Engine, action: Action, rows: tuple[tuple[Layer, ...], ...]) -> list[LayerRun]:
        with attached(engine.docker) as settings:
            return self._rows_with(engine, action, rows, settings)

    def _rows_with(
        self,
        engine: Engine,
        action: Action,
        rows: tuple[tuple[Layer, ...], ...],
        settings: dict[str, str],
    ) -> list[LayerRun]:
        runs: list[LayerRun] = []
        for row in rows:
            if not row:
                continue
            # Making a stack writes the salt that all layers share: one after the other.
            stacks = {layer: engine.open(layer, settings) for layer in row}
            with ThreadPoolExecutor(len(row)) as pool:
                futures = [pool.submit(self._run, stacks[layer], layer, action, engine) for layer in row]
                done = [future.result() for future in futures]
            runs += done
            if failed := [run for run in done if run.state == "failed"]:
                reasons = "\n".join(f"{run.layer}: {run.reason}" for run in failed)
                raise LayerFailedError(reasons)
        return runs

    def _run(self, stack: automation.Stack, layer: Layer, action: Action, engine: Engine) -> LayerRun:
        run = LayerRun(layer, action)
        if action == "preview" and layer != "foundation" and not _has_outputs(engine, "foundation"):
            run.state, run.reason = "skipped", "needs the foundation, which isn't up yet"
            self._report(run)
            return run
        run_layer(stack, run, engine.state / "logs", self._report)
        return run

    def _remove_leftovers(self, client: docker.DockerClient) -> None:
        """Remove what carries the environment's labels and no state knows: a killed run's last creation."""
        marks = [
            f"plumbline.environment={self.env}",
            f"plumbline.instance={self.instance or 'default'}",
        ]
        name = paths.full_name(self.env, self.instance)
        filters = {"label": marks}
        for item in client.api.containers(all=True, filters=filters):
            if item["Names"] and item["Names"][0].lstrip("/").startswith(f"{name}-"):
                with contextlib.suppress(NotFound):
                    client.api.remove_container(item["Id"], force=True, v=True)
        for item in client.api.networks(filters=filters):
            if item["Name"] == name:
                with contextlib.suppress(NotFound, APIError):
                    client.api.remove_network(item["Id"])
        for item in client.api.volumes(filters=filters).get("Volumes") or []:
            if item["Name"].startswith(f"{name}-"):
                with contextlib.suppress(NotFound):
                    client.api.remove_volume(item["Name"])

    def _forget(self) -> None:
        state = paths.state_dir(self.env, self.instance)
        # Renamed first: a removal that is interrupted must not leave half a backend under its name.
        with contextlib.suppress(FileNotFoundError):
            (state / "pulumi").rename(state / f"removed-{os.getpid()}")
        for folder in (
            *state.glob("removed-*"),
            state / "config",
            state / "work",
            state / "logs",
            state / "bundles",
        ):
            shutil.rmtree(folder, ignore_errors=True)
        (state / "passphrase").unlink(missing_ok=True)
        allocation.forget(self.env, self.instance)


def _replaced(configs: dict[Layer, Any]) -> set[str]:
    return {name for settings in configs.values() for name in settings.images}


def _who(env: str, instance: str, text: str) -> str:
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} since {holder['since']}"
    except (ValueError, KeyError):
        who = "another process"
    return (
        f"environment: {paths.qualified(env, instance)} is being changed by {who}; try again when it is done"
    )


def _has_outputs(engine: Engine, layer: Layer) -> bool:
    path = engine.checkpoint(layer)
    if not path.is_file():
        return False
    latest = json.loads(path.read_text())["checkpoint"].get("latest") or {}
    return any("ansible_inventory" in (item.get("outputs") or {}) for item in latest.get("resources") or [])
