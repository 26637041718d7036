"""The typed configuration: bounds hold, and a wrong value is named before anything is touched."""

import pytest

from infra import config
from infra.config import ConfigurationError, DataConfig, FoundationConfig, ObservabilityConfig


def test_the_checkout_s_dev_environment_is_valid_and_small_scrapes_are_on() -> None:
    foundation = config.load("foundation", FoundationConfig, "dev", {})
    assert (foundation.hosts.edge, foundation.hosts.app, foundation.hosts.client) == (1, 3, 1)
    assert foundation.faults_allowed
    assert config.load("observability", ObservabilityConfig, "dev", {}).prometheus.scrape_interval_s == 1
    assert config.load("data", DataConfig, "dev", {}).postgres.database == "idgen"


def test_defaults_are_safe() -> None:
    assert not FoundationConfig().faults_allowed
    assert FoundationConfig().images == {}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"hosts": {"app": 99}}, ["plumbline-foundation:hosts.app", "99", "9"]),
        ({"memory_mib": {"edge": 1}}, ["memory_mib.edge", "64"]),
        ({"subnet": "10.0.0.0/22"}, ["subnet", "'10.0.0.0/22'", "198.18.0.0/15"]),
        ({"subnet": "198.18.16.0/24"}, ["subnet", "/22"]),
        ({"edge_port": 80}, ["edge_port", "80", "1024"]),
        ({"runtime": "vmware"}, ["runtime", "'vmware'", "'docker'"]),
        ({"coulour": 1}, ["coulour", "no such key"]),
    ],
)
def test_a_wrong_value_is_one_line_with_key_value_and_allowed(
    overrides: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load("foundation", FoundationConfig, "dev", overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_environment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'production' is not known; allowed: dev"):
        config.check_environment("production")


def test_a_layer_reads_only_its_own_plain_keys() -> None:
    values = {
        "plumbline-data:postgres": {"user": "idgen"},
        "plumbline-data:postgres_password": {"secure": "v1:..."},
        "plumbline-foundation:runtime": "docker",
    }
    assert config.own_values("data", values) == {"postgres": {"user": "idgen"}}
