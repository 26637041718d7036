"""Network and hosts of an environment."""

import sys
from pathlib import Path

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra import inventory, layer
from infra.components.host import Host
from infra.components.network import Network
from infra.config import FoundationConfig

this = layer.current("foundation", FoundationConfig)
network = Network("network", this.allocation)
runtime = this.runtime(network.network_name)
hosts = [
    Host(
        group=group,
        number=number,
        address=this.addresses.host(group, number),
        memory_mib=getattr(this.config.memory_mib, group),
        allocation=this.allocation,
        runtime=runtime,
    )
    for group, count in this.config.hosts
    for number in range(1, count + 1)
]

pulumi.export("network", network.network_name)
this.export_inventory(
    hosts=[host.entry for host in hosts],
    edges=[
        inventory.Edge(name=name, url=f"https://127.0.0.1:{port}")
        for name, port in this.allocation.ports.items()
        if name.startswith("edge")
    ],
    load=inventory.Load(client="client1", sources=this.addresses.load_sources)
    if this.config.hosts.client
    else None,
    policy=inventory.Policy(
        faults_allowed=this.config.faults_allowed, rate_limit_per_ip=this.config.rate_limit_per_ip
    ),
)
