"""The inventory contract: what is refused, by name, and how the stacks' fragments become one."""

from pathlib import Path

import pytest
import yaml

from infra import inventory
from infra.inventory import Inventory, InventoryError

POLICY = {"faults_allowed": True, "rate_limit_per_ip": 50}


def host(name: str, group: str) -> dict[str, object]:
    return {"name": name, "groups": [group], "address": "198.18.16.11", "connection": "docker"}


def fragment(**parts: object) -> dict[str, object]:
    return {"schema_version": 1, "environment": "dev", "instance": "", **parts}


def test_the_fragments_of_all_stacks_become_one_inventory() -> None:
    merged = inventory.merge(
        [
            inventory.parse(fragment(hosts=[host("edge1", "edge"), host("app1", "app")], policy=POLICY)),
            inventory.parse(fragment(endpoints={"redis": {"host": "198.18.16.42", "port": 6379}})),
        ]
    )
    assert [item.name for item in merged.in_group("app")] == ["app1"]
    assert merged.endpoints.redis is not None and merged.endpoints.redis.port == 6379
    assert merged.policy is not None and merged.policy.faults_allowed


@pytest.mark.parametrize("version", [2, "1", None, True])
def test_another_schema_version_is_refused_with_key_value_and_allowed(version: object) -> None:
    with pytest.raises(InventoryError, match=r"schema_version is .*; allowed: 1") as caught:
        inventory.parse(fragment() | {"schema_version": version}, "data: ansible_inventory")
    assert repr(version) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"hosts": [host("edge1", "cache")]}, ["hosts.0.groups.0", "'cache'", "'edge', 'app' or 'client'"]),
        ({"hosts": [host("edge1", "edge") | {"address": "nowhere"}]}, ["hosts.0.address", "'nowhere'"]),
        ({"policy": {"faults_allowed": False}}, ["policy.rate_limit_per_ip", "missing"]),
        ({"colour": "red"}, ["colour", "'red'", "no such key"]),
        ({"endpoints": {"redis": {"host": "a", "port": 70000}}}, ["endpoints.redis.port", "70000", "65535"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(parts: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InventoryError) as caught:
        inventory.parse(fragment(**parts))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_two_stacks_may_not_give_the_same_host_or_endpoint() -> None:
    one = inventory.parse(fragment(hosts=[host("edge1", "edge")]))
    with pytest.raises(InventoryError, match="'edge1' is given twice"):
        inventory.merge([one, one])
    other = inventory.parse(fragment(endpoints={"redis": {"host": "a", "port": 1}}))
    with pytest.raises(InventoryError, match=r"endpoints\.redis: given by two stacks"):
        inventory.merge([other, other])


def test_fragments_of_two_environments_are_not_mixed() -> None:
    with pytest.raises(InventoryError, match="one environment"):
        inventory.merge([Inventory(environment="dev"), Inventory(environment="dev", instance="other")])


def test_an_inventory_that_lacks_a_layer_says_so_and_what_to_run() -> None:
    with pytest.raises(InventoryError, match=r"endpoints\.postgres.*missing; run: python -m infra up"):
        inventory.complete(Inventory(environment="dev", hosts=[inventory.Host(**host("app1", "app"))]))


def test_what_is_exported_reads_back_as_the_same_inventory() -> None:
    first = inventory.parse(fragment(hosts=[host("app1", "app")], policy=POLICY))
    assert inventory.parse(first.to_output()) == first


def test_the_static_example_has_the_same_groups_and_contract() -> None:
    path = Path(__file__).parents[3] / "inventory" / "static.example.yml"
    document = yaml.safe_load(path.read_text())
    found = inventory.complete(inventory.parse(document["all"]["vars"]["plumbline_inventory"]))
    groups = document["plumbline"]["children"]
    assert set(groups) == {"edge", "app", "client"}
    for group, members in groups.items():
        assert list(members["hosts"]) == [item.name for item in found.in_group(group)]
    shared = {"plumbline_environment", "plumbline_instance", "plumbline_secrets"}
    assert shared <= set(document["all"]["vars"])
