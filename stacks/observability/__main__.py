"""What measures: Prometheus."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra import inventory, layer
from infra.components import prometheus
from infra.config import ObservabilityConfig

this = layer.current("observability", ObservabilityConfig)
runtime = this.runtime(this.foundation.get_output("network"))
address = this.addresses.service("prometheus")
published = this.allocation.ports["prometheus"]
prometheus.Prometheus(
    "prometheus",
    address=address,
    published=published,
    settings=this.config.prometheus,
    hosts=this.foundation.get_output("ansible_inventory"),
    runtime=runtime,
)

this.export_inventory(
    endpoints=inventory.Endpoints(
        prometheus=inventory.PrometheusEndpoint(
            url=f"http://127.0.0.1:{published}",
            internal_url=f"http://{address}:{prometheus.PORT}",
            scrape_interval_s=this.config.prometheus.scrape_interval_s,
        )
    )
)
