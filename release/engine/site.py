"""An environment as a release sees it: its fleet, its metrics, its releases on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import allocation, inventory, outputs, paths
from infra.backend import Backend
from infra.inventory import Inventory, InventoryError
from release.engine.baseline import Source
from release.engine.request import BadRequest
from release.engine.store import Releases
from release.metrics.prometheus import Prometheus
from release.targets.hosts import HostFleet
from release.targets.model import Fleet


@dataclass
class Site:
    """Everything outside the release itself. `results` is where reports go, one folder for each release."""

    name: str
    root: Path
    state: Path
    results: Path
    fleet: Fleet
    source: Source
    releases: Releases
    faults_allowed: bool


def from_inventory(given: Mapping[str, Any] | Inventory) -> Site:
    """The site that an inventory describes. Raises BadRequest naming what is missing or wrong."""
    try:
        parsed = given if isinstance(given, Inventory) else inventory.parse(given, "plumbline_inventory")
        whole = inventory.complete(parsed)
        state = paths.state_dir(whole.environment, whole.instance)
    except (InventoryError, ValueError) as error:
        raise BadRequest(str(error)) from None
    ca_file = state / "ca" / "ca.crt"
    if not ca_file.is_file():
        raise BadRequest(f"environment: {ca_file} is missing; run: ansible-playbook site.yml")
    assert whole.endpoints.prometheus is not None and whole.policy is not None
    metrics = whole.endpoints.prometheus
    edges = [host.name for host in whole.in_group("edge")]
    root = paths.repo_root()
    return Site(
        name=paths.qualified(whole.environment, whole.instance),
        root=root,
        state=state,
        results=root / "results",
        fleet=HostFleet(whole, ca_file),
        source=Prometheus(metrics.url, edges, metrics.scrape_interval_s),
        releases=Releases(state),
        faults_allowed=whole.policy.faults_allowed,
    )


def of_environment(env: str, instance: str) -> Site:
    """The site of an environment that was brought up. Raises BadRequest."""
    try:
        record = allocation.read(env, instance)
        if record is None:
            raise BadRequest(
                f"environment: {paths.qualified(env, instance)!r} is not up; run: make up ENV={env}"
            )
        found = outputs.read(Backend(env, instance, record.docker_plugin))
        return from_inventory(outputs.read_inventory(found))
    except (InventoryError, outputs.OutputsError, allocation.AllocationError, ValueError) as error:
        raise BadRequest(str(error)) from None
