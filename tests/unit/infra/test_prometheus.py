"""Prometheus scrapes every edge and app host of the foundation, each target labelled with its host."""

import yaml

from infra.components.prometheus import scrape_configuration
from infra.config import PrometheusConfig
from infra.inventory import Host, Inventory


def host(name: str, group: str, address: str) -> Host:
    return Host(name=name, groups=[group], address=address, connection="docker")


def test_every_edge_and_app_host_is_scraped_and_clients_are_not() -> None:
    found = Inventory(
        environment="dev",
        hosts=[
            host("edge1", "edge", "198.18.16.11"),
            host("app1", "app", "198.18.16.21"),
            host("app2", "app", "198.18.16.22"),
            host("client1", "client", "198.18.16.31"),
        ],
    )
    document = yaml.safe_load(scrape_configuration(found, PrometheusConfig(scrape_interval_s=1)))
    assert document["global"]["scrape_interval"] == "1s"
    jobs = {job["job_name"]: job["static_configs"] for job in document["scrape_configs"]}
    assert jobs["edge"] == [{"targets": ["198.18.16.11:8404"], "labels": {"host": "edge1"}}]
    assert jobs["edge_log"] == [{"targets": ["198.18.16.11:3903"], "labels": {"host": "edge1"}}]
    assert jobs["app"] == [
        {"targets": ["198.18.16.21:8001", "198.18.16.21:8002"], "labels": {"host": "app1"}},
        {"targets": ["198.18.16.22:8001", "198.18.16.22:8002"], "labels": {"host": "app2"}},
    ]
