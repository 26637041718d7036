"""The hosts of this scenario, and what its tests do to them."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

from infra import allocation, outputs, paths
from infra.backend import Backend
from infra.inventory import EDGE_CERTIFICATE_NAME, Inventory

REQUESTS = Path(__file__).with_name("requests_from.py")


@dataclass
class Site:
    """The instance that the scenario runs on."""

    inventory: Inventory
    state: Path
    containers: dict[str, str]

    def host(self, name: str) -> Any:
        """A testinfra host by its name in the inventory."""
        return testinfra.get_host(f"docker://{self.containers[name]}")

    @property
    def edge(self) -> Any:
        return self.host("edge1")

    @property
    def apps(self) -> dict[str, Any]:
        return {host.name: self.host(host.name) for host in self.inventory.in_group("app")}

    def connect(self, newest: ssl.TLSVersion) -> str | None:
        """Shake hands with the edge from the controller, at most at this version; gives the version."""
        url = urllib.parse.urlsplit(self.inventory.edges[0].url)
        context = ssl.create_default_context(cafile=str(self.state / "ca/ca.crt"))
        context.maximum_version = newest
        with (
            socket.create_connection((url.hostname or "", url.port or 443), timeout=10) as link,
            context.wrap_socket(link, server_hostname=EDGE_CERTIFICATE_NAME) as encrypted,
        ):
            return encrypted.version()

    def requests(self, count: int, *, sources: Iterable[int], seconds: float = 0.0) -> dict[str, Any]:
        """Requests from the client host over one connection for each source named; see requests_from.py."""
        first = (
            self.inventory.load.sources.partition("-")[0].rpartition(".")[0] if self.inventory.load else ""
        )
        wanted = {
            "sources": [f"{first}.{number}" for number in sources],
            "count": count,
            "seconds": seconds,
            "name": EDGE_CERTIFICATE_NAME,
        }
        done = subprocess.run(
            ["docker", "exec", "-i", self.containers["client1"], "python3", "-", json.dumps(wanted)],
            input=REQUESTS.read_text(),
            capture_output=True,
            text=True,
            check=True,
            timeout=180,
        )
        return json.loads(done.stdout)

    def ask(
        self, app: str, path: str, body: dict[str, Any] | None = None, *, port: int = 8001
    ) -> tuple[int, bytes]:
        """A request to one slot with the host's API key, POST if it has a body: status and answer."""
        [host] = [host for host in self.inventory.hosts if host.name == app]
        key = self.host(app).file("/etc/plumbline/api-key").content_string.strip()
        request = urllib.request.Request(
            f"http://{host.address}:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def share(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """edge-share on the edge: exit code and answer."""
        done = self.edge.run("/usr/local/sbin/edge-share " + " ".join(arguments))
        return done.rc, json.loads(done.stdout)

    def counted(self) -> dict[tuple[str, str], int]:
        """edge_requests_total by (slot, outcome)."""
        text = self.edge.check_output("curl -sS http://127.0.0.1:3903/metrics")
        found = {}
        for line in text.splitlines():
            if line.startswith("edge_requests_total{"):
                labels, value = line.removeprefix("edge_requests_total{").split("} ")
                by_name = dict(pair.split("=") for pair in labels.replace('"', "").split(","))
                found[by_name["slot"], by_name["outcome"]] = int(value)
        return found


@pytest.fixture(scope="session")
def site() -> Site:
    env, instance = os.environ["PLUMBLINE_ENV"], os.environ["PLUMBLINE_INSTANCE"]
    record = allocation.read(env, instance)
    assert record, "the instance is not up"
    found = outputs.read_inventory(outputs.read(Backend(env, instance, record.docker_plugin)))
    containers = {host.name: host.container or "" for host in found.hosts}
    return Site(found, paths.state_dir(env, instance), containers)


@pytest.fixture
def set_share(site: Site) -> Iterator[Callable[[int], None]]:
    """Set green's share under the token seen last; 0 again afterwards."""

    def put(green_bp: int) -> None:
        token = site.share("get")[1]["token"]
        code, answer = site.share("set", f"--green-bp {green_bp}", f"--token {token}")
        assert (code, answer) == (0, {"green_bp": green_bp, "token": token})

    yield put
    put(0)


@pytest.fixture(autouse=True)
def journals(request: pytest.FixtureRequest, site: Site) -> Iterator[None]:
    """A test that fails on a host shows what its services said."""
    before = request.session.testsfailed
    yield
    if request.session.testsfailed > before:
        print(site.edge.run("journalctl --no-pager -n 40 -u haproxy -u mtail").stdout)
        for name, app in site.apps.items():
            print(name, app.run("journalctl --no-pager -n 20 -u 'app*'").stdout)
