"""Who has which address in an environment's /22.

The first /24 holds hosts and services at fixed offsets, the second /24 the source addresses of load.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_FIRST = {"edge": 11, "app": 21, "client": 31}
_SERVICES = {"postgres": 41, "redis": 42, "etcd": 43, "prometheus": 51}
_LOAD_FIRST, _LOAD_LAST = 1, 250


@dataclass(frozen=True)
class Addresses:
    """The plan for one subnet."""

    subnet: str

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return self._at(1)

    def host(self, group: str, number: int) -> str:
        """Address of the host `<group><number>`, numbered from 1."""
        return self._at(_FIRST[group] + number - 1)

    def service(self, name: str) -> str:
        """Address of a service."""
        return self._at(_SERVICES[name])

    @property
    def load_sources(self) -> str:
        """First and last source address of load, as `a-b`."""
        return f"{self._at(256 + _LOAD_FIRST)}-{self._at(256 + _LOAD_LAST)}"

    def _at(self, offset: int) -> str:
        return str(ipaddress.ip_network(self.subnet).network_address + offset)
