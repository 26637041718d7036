"""Where load may go: only the edge of the environment itself, only inside the project's own ranges."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.inventory import EDGE_CERTIFICATE_NAME, Inventory
from release.engine.request import BadRequest

ALLOWED = tuple(ipaddress.ip_network(network) for network in ("127.0.0.0/8", "198.18.0.0/15"))
MOST_SOURCES = 1024


@dataclass(frozen=True)
class Destination:
    """The URL to load, the address its name stands for, and the addresses to come from (first-last)."""

    url: str
    name: str
    address: str
    sources: str


def destination(inventory: Inventory) -> Destination:
    """Where an environment's load goes. Raises BadRequest for anything but its own edge."""
    if inventory.load is None:
        raise BadRequest("load: missing in the inventory; allowed: an environment with a client host")
    edges = inventory.in_group("edge")
    if not edges:
        raise BadRequest("hosts: none in group edge; allowed: an environment with an edge")
    url = inventory.load.target_url
    parts = urlsplit(url)
    name, own = parts.hostname or "", {edge.address for edge in edges}
    if parts.scheme != "https" or (name != EDGE_CERTIFICATE_NAME and name not in own):
        raise BadRequest(f"load.target_url: {url!r} is not allowed; allowed: https://{EDGE_CERTIFICATE_NAME}")
    address = edges[0].address if name == EDGE_CERTIFICATE_NAME else name
    _check("edge address", address)
    first, _, last = inventory.load.sources.partition("-")
    for source in (first, last):
        _check("load.sources", source)
    if not 0 <= int(ipaddress.IPv4Address(last)) - int(ipaddress.IPv4Address(first)) < MOST_SOURCES:
        raise BadRequest(
            f"load.sources: {first}-{last} is not allowed; allowed: first-last, up to {MOST_SOURCES}"
        )
    return Destination(url, name, address, inventory.load.sources)


def _check(key: str, address: str) -> None:
    try:
        inside = any(ipaddress.ip_address(address) in network for network in ALLOWED)
    except ValueError:
        inside = False
    if not inside:
        ranges = " and ".join(map(str, ALLOWED))
        raise BadRequest(f"{key}: {address!r} is not allowed; allowed: addresses in {ranges}")
