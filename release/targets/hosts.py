"""App hosts with two slots each, behind HAProxy edges."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.inventory import EDGE_CERTIFICATE_NAME, Inventory
from release.targets.model import FleetUnreachable, HostState, Probes, Slot, SlotState, green_bp
from release.targets.probe import Entrance, probe
from release.targets.transport import Answer, Host, HostUnreachable, on_all, run_on
from release.traffic.haproxy import HAProxyEdges
from release.traffic.shares import EdgeShare

PORTS: dict[Slot, int] = {"blue": 8001, "green": 8002}
HOST_SCRIPT = Path(__file__).with_name("host_script.py")
#: One ID of a tag that the service brings along: the request that its clients make.
ISSUE_PATH = "/v1/ids/events"
#: Through the edge only who answers is asked, which needs no key on the controller.
WHO_ANSWERS = ("GET", "/healthz")
SMOKE_TRIES = 10
PROBES_PER_SECOND = 40.0


class HostFleet:
    """The fleet that a complete inventory describes. `ca_file` signs the edges' certificates."""

    def __init__(self, inventory: Inventory, ca_file: Path, run: Callable[..., Answer] = run_on) -> None:
        if inventory.policy is None:
            raise ValueError("inventory: policy is missing; allowed: a complete inventory")
        self.apps = [Host.from_inventory(host) for host in inventory.in_group("app")]
        edges = [Host.from_inventory(host) for host in inventory.in_group("edge")]
        self.traffic = HAProxyEdges(edges, run=run)
        self.entrances = [
            Entrance(edge.name, edge.url, EDGE_CERTIFICATE_NAME, ca_file) for edge in inventory.edges
        ]
        limit = inventory.policy.rate_limit_per_ip
        self._probes_per_second = min(PROBES_PER_SECOND, limit / 2)
        self._run = run

    def read_shares(self) -> dict[str, EdgeShare]:
        """See Fleet."""
        return self.traffic.read()

    def set_share(self, slot: Slot, share_bp: int, token: int) -> dict[str, EdgeShare]:
        """See Fleet."""
        return self.traffic.set_share(green_bp(slot, share_bp), token)

    def not_up(self, slot: Slot) -> list[str]:
        """See Fleet."""
        return self.traffic.not_up(slot)

    def probe(self, per_edge: int) -> dict[str, Probes]:
        """See Fleet."""
        return {
            entrance.name: probe(entrance, *WHO_ANSWERS, per_edge, per_second=self._probes_per_second)
            for entrance in self.entrances
        }

    def states(self) -> dict[str, HostState]:
        """See Fleet."""
        asked_at = time.time()
        answers = self._on_apps({"action": "state"})
        heard_at = time.time()
        return {name: _state(answer, asked_at, heard_at) for name, answer in answers.items()}

    def warm_up(self, slot: Slot, requests: int) -> None:
        """See Fleet."""
        self._on_apps({"action": "warm_up", "slot": slot, "requests": requests, "path": ISSUE_PATH})

    def smoke(self, slot: Slot, version: str) -> dict[str, list[str]]:
        """See Fleet. Works when one of SMOKE_TRIES requests does: how often it works is for the gates."""
        answers = self._on_apps(
            {"action": "smoke", "slot": slot, "requests": SMOKE_TRIES, "path": ISSUE_PATH}
        )
        return {name: _complaints(answer, slot, version) for name, answer in answers.items()}

    def _on_apps(self, request: Mapping[str, Any]) -> dict[str, Any]:
        script = HOST_SCRIPT.read_text()

        def ask(host: Host) -> Any:
            wanted = {**request, "address": host.address or "127.0.0.1", "ports": PORTS}
            answer = self._run(host, ["python3", "-", json.dumps(wanted)], stdin=script, timeout_s=60.0)
            if answer.code != 0:
                raise HostUnreachable(host.name, answer.complaint)
            return json.loads(answer.stdout)

        answers = on_all(self.apps, ask)
        if lost := [f"{name}: {e}" for name, e in answers.items() if isinstance(e, Exception)]:
            raise FleetUnreachable("app host doesn't answer: " + "; ".join(lost))
        return answers


def _state(answer: Mapping[str, Any], asked_at: float, heard_at: float) -> HostState:
    """The skew is 0 while the host's clock lies between asking and hearing, else the distance."""
    clock = float(answer["clock"])
    skew = max(0.0, clock - heard_at) + min(0.0, clock - asked_at)
    slots: dict[Slot, SlotState] = {
        slot: SlotState(**answer["slots"][slot]) for slot in PORTS if slot in answer["slots"]
    }
    return HostState(int(answer["disk_free"]), skew, slots)


def _complaints(answer: Mapping[str, Any], slot: Slot, version: str) -> list[str]:
    problems = []
    status, _ = answer["ready"]
    if status != 200:
        problems.append(f"{slot} is not ready: {answer['ready'][1] if status == 0 else f'status {status}'}")
    good = [a for a in answer["answers"] if a[0] == 200]
    if not good:
        problems.append(f"none of {len(answer['answers'])} requests to {slot} worked: {answer['answers'][0]}")
    if wrong := {str(a[1]) for a in answer["answers"] if a[0] and a[1] != version}:
        problems.append(f"{slot} says version {', '.join(sorted(wrong))}, expected {version}")
    return problems
