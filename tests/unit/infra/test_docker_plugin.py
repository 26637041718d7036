"""The bundled docker plugin's pure part: what is refused, what changes, what the official one writes."""

import asyncio
from typing import Any

import pytest
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import CheckRequest, CreateRequest, DiffRequest

from infra.plugins.docker import checks
from infra.plugins.docker.container import nanoseconds
from infra.plugins.docker.container_state import outputs_of
from infra.plugins.docker.objects import DockerRefusedError
from infra.plugins.docker.provider import DockerProvider
from infra.plugins.docker.schema import CONTAINER, NETWORK, UnknownTypeError, resource_type
from infra.plugins.docker.values import UNKNOWN, from_plain, plain_map, to_plain

URN = "urn:pulumi:dev::p::plumbline:data:Redis$docker:index/container:Container::redis"
MINIMAL = {"name": "n", "image": "sha256:1"}

# What `pulumi stack export` showed of one container made by the official plugin 5.1.0.
OFFICIAL_PROGRAM: dict[str, Any] = {
    "capabilities": {"adds": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]},
    "cgroupnsMode": "private",
    "command": ["/sbin/init"],
    "envs": ["A=1"],
    "healthcheck": {
        "tests": ["CMD", "true"],
        "interval": "5s",
        "timeout": "2s",
        "retries": 3,
        "startPeriod": "1s",
    },
    "hostname": "example-host",
    "image": "sha256:bd9e",
    "labels": [{"label": "plumbline.environment", "value": "dev"}],
    "logDriver": "json-file",
    "memory": 512,
    "mustRun": True,
    "name": "example-host",
    "networksAdvanced": [{"aliases": ["host"], "ipv4Address": "198.18.7.10", "name": "example"}],
    "ports": [{"external": 18081, "internal": 8080, "ip": "127.0.0.1"}],
    "restart": "unless-stopped",
    "securityOpts": ["seccomp=unconfined"],
    "stopSignal": "SIGRTMIN+3",
    "tmpfs": {"/run": "", "/tmp": ""},
    "uploads": [{"content": "x=1\n", "file": "/etc/example.conf"}],
    "volumes": [
        {"containerPath": "/data", "volumeName": "example-data"},
        {"containerPath": "/sys/fs/cgroup/systemd", "hostPath": "/sys/fs/cgroup/systemd"},
    ],
    "wait": False,
}
OFFICIAL_DEFAULTS = {
    "containerReadRefreshTimeoutMilliseconds": 15000,
    "networkMode": "bridge",
    "removeVolumes": True,
    "start": True,
    "waitTimeout": 60,
}
INSPECTED: dict[str, Any] = {
    "Name": "/example-host",
    "Image": "sha256:bd9e",
    "State": {"Running": True},
    "Config": {
        "Cmd": ["/sbin/init"],
        "Env": ["A=1", "PATH=/usr/bin"],
        "Healthcheck": {"Test": ["CMD", "true"], "Retries": 3},
        "Hostname": "example-host",
        "Labels": {"plumbline.environment": "dev", "of.the.image": "x"},
        "StopSignal": "SIGRTMIN+3",
    },
    "HostConfig": {
        "Binds": ["example-data:/data:rw", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw"],
        "CapAdd": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
        "CgroupnsMode": "private",
        "IpcMode": "private",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "Memory": 512 * 1024**2,
        "MemorySwap": 1024 * 1024**2,
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}]},
        "RestartPolicy": {"Name": "unless-stopped"},
        "Runtime": "runc",
        "SecurityOpt": ["seccomp=unconfined"],
        "ShmSize": 64 * 1024**2,
        "Tmpfs": {"/run": "", "/tmp": ""},
    },
    "NetworkSettings": {
        "Networks": {
            "example": {
                "Aliases": ["host", "8e35ab6dcacb"],
                "Gateway": "198.18.7.1",
                "IPAddress": "198.18.7.10",
                "IPAMConfig": {"IPv4Address": "198.18.7.10"},
                "IPPrefixLen": 24,
                "MacAddress": "02:42:c6:12:07:0a",
            }
        }
    },
}
OFFICIAL_OUTPUTS = {
    "capabilities": {"adds": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"], "drops": []},
    "envs": ["A=1"],
    "labels": [{"label": "plumbline.environment", "value": "dev"}],
    "memory": 512,
    "memorySwap": 1024,
    "mustRun": True,
    "networkDatas": [
        {
            "gateway": "198.18.7.1",
            "globalIpv6Address": "",
            "globalIpv6PrefixLength": 0,
            "ipAddress": "198.18.7.10",
            "ipPrefixLength": 24,
            "ipv6Gateway": "",
            "macAddress": "02:42:c6:12:07:0a",
            "networkName": "example",
        }
    ],
    "networksAdvanced": [
        {
            "aliases": ["host"],
            "driverOpts": [],
            "gwPriority": None,
            "ipv4Address": "198.18.7.10",
            "ipv6Address": "",
            "linkLocalIps": [],
            "macAddress": "",
            "name": "example",
        }
    ],
    "ports": [{"external": 18081, "internal": 8080, "ip": "127.0.0.1", "protocol": "tcp"}],
    "shmSize": 64,
    "uploads": [
        {
            "content": "x=1\n",
            "contentBase64": "",
            "executable": False,
            "file": "/etc/example.conf",
            "permissions": "",
            "source": "",
            "sourceHash": "",
        }
    ],
    "volumes": [
        {
            "containerPath": "/data",
            "fromContainer": "",
            "hostPath": "",
            "readOnly": None,
            "selinuxRelabel": "",
            "volumeName": "example-data",
        },
        {
            "containerPath": "/sys/fs/cgroup/systemd",
            "fromContainer": "",
            "hostPath": "/sys/fs/cgroup/systemd",
            "readOnly": None,
            "selinuxRelabel": "",
            "volumeName": "",
        },
    ],
}


def checked(**inputs: Any) -> dict[str, Any]:
    found, problems = checks.check(CONTAINER, MINIMAL | inputs)
    assert problems == []
    return found


def test_the_defaults_are_those_of_the_official_plugin() -> None:
    inputs, problems = checks.check(CONTAINER, OFFICIAL_PROGRAM)
    assert problems == []
    assert inputs["__defaults"] == sorted(OFFICIAL_DEFAULTS)
    assert {key: inputs[key] for key in OFFICIAL_DEFAULTS} == OFFICIAL_DEFAULTS
    port = OFFICIAL_PROGRAM["ports"][0] | {"protocol": "tcp", "__defaults": ["protocol"]}
    assert inputs["ports"][0] == port
    assert inputs["healthcheck"]["__defaults"] == ["startInterval"]
    network, _ = checks.check(NETWORK, {"name": "n", "driver": "bridge"})
    assert (network["ipamDriver"], network["__defaults"]) == ("default", ["ipamDriver"])


def test_the_outputs_are_those_of_the_official_plugin_and_show_no_difference() -> None:
    inputs = checked(**OFFICIAL_PROGRAM)
    outputs = outputs_of(INSPECTED, inputs)
    assert {key: outputs[key] for key in OFFICIAL_OUTPUTS} == OFFICIAL_OUTPUTS
    assert not checks.diff(CONTAINER, outputs, inputs)


@pytest.mark.parametrize(
    ("inputs", "where", "words"),
    [
        ({"privilegedd": True}, "privilegedd", ["privilegedd", "not known to the bundled docker plugin"]),
        ({"ports": [{"internal": 1, "scheme": "x"}]}, "ports[0].scheme", ["ports[0].scheme", "known are"]),
        ({"memory": "much"}, "memory", ["memory", "str", "allowed: number"]),
        ({"memory": True}, "memory", ["bool", "allowed: number"]),
        ({"labels": [{"label": "a"}]}, "labels[0].value", ["labels[0].value", "missing"]),
    ],
)
def test_an_unknown_property_or_a_wrong_value_is_refused_by_name(
    inputs: dict[str, Any], where: str, words: list[str]
) -> None:
    _, problems = checks.check(CONTAINER, MINIMAL | inputs)
    assert [problem.property for problem in problems] == [where]
    assert all(word in problems[0].reason for word in words), problems[0].reason


def test_a_refused_value_is_not_repeated_since_it_may_be_a_secret() -> None:
    _, problems = checks.check(CONTAINER, MINIMAL | {"envs": "PASSWORD=hunter2"})
    assert "hunter2" not in problems[0].reason


def test_the_engine_is_not_told_the_property_since_it_would_print_its_value() -> None:
    given = {"name": PropertyValue("n"), "image": PropertyValue("i"), "dns": PropertyValue("hunter2")}
    answer = asyncio.run(DockerProvider().check(CheckRequest(URN, {}, given, b"")))
    assert answer.failures is not None
    assert [failure.property for failure in answer.failures] == [""]
    assert "dns of docker:index/container:Container is not known" in answer.failures[0].reason


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(UnknownTypeError, match=r"docker:index/secret:Secret is not served"):
        resource_type("docker:index/secret:Secret")


@pytest.mark.parametrize(
    ("before", "after", "updates", "replaces"),
    [
        ({}, {}, [], []),
        ({"memory": 256}, {"memory": 512}, ["memory"], []),
        ({"memory": 256}, {}, ["memory"], []),
        ({"restart": "no"}, {"restart": "unless-stopped"}, ["restart"], []),
        ({"envs": ["A=1", "B=2"]}, {"envs": ["B=2", "A=1"]}, [], []),
        ({"envs": ["A=1"]}, {"envs": ["A=2"]}, [], ["envs"]),
        ({"envs": ["A=1"]}, {}, [], ["envs"]),
        ({"command": ["a", "b"]}, {"command": ["b", "a"]}, [], ["command"]),
        ({"tmpfs": {"/run": ""}}, {}, [], ["tmpfs"]),
        (
            {"uploads": [{"file": "/a", "content": "1"}]},
            {"uploads": [{"file": "/a", "content": "2"}]},
            [],
            ["uploads"],
        ),
    ],
)
def test_a_change_updates_in_place_where_docker_can_and_replaces_elsewhere(
    before: dict[str, Any], after: dict[str, Any], updates: list[str], replaces: list[str]
) -> None:
    changes = checks.diff(CONTAINER, checked(**before), checked(**after))
    assert (changes.updates, changes.replaces) == (updates, replaces)


def test_a_value_that_is_not_known_yet_is_a_difference() -> None:
    assert checks.diff(CONTAINER, checked(), checked(image=UNKNOWN)).replaces == ["image"]


def test_a_container_that_stopped_is_started_again_not_replaced() -> None:
    inputs = checked(**OFFICIAL_PROGRAM)
    stopped = outputs_of(INSPECTED | {"State": {"Running": False}}, inputs)
    changes = checks.diff(CONTAINER, stopped, inputs)
    assert (changes.updates, changes.replaces) == (["mustRun"], [])


def test_a_secret_input_stays_secret_in_inputs_and_outputs() -> None:
    uploads = PropertyValue(
        [
            PropertyValue(
                {"file": PropertyValue("/secret"), "content": PropertyValue("hunter2", is_secret=True)}
            )
        ]
    )
    given = {"name": PropertyValue("n"), "image": PropertyValue("i"), "uploads": uploads}
    provider = DockerProvider()
    found = asyncio.run(provider.check(CheckRequest(URN, {}, given, b"")))
    assert found.inputs is not None and found.inputs["uploads"].is_secret
    assert not found.inputs["name"].contains_secret()
    created = asyncio.run(provider.create(CreateRequest(URN, found.inputs, 0, preview=True)))
    assert created.properties["uploads"].is_secret


def test_a_replacement_removes_the_old_object_first_since_names_are_given() -> None:
    old = {key: from_plain(value) for key, value in checked(image="sha256:1").items()}
    new = {key: from_plain(value) for key, value in checked(image="sha256:2").items()}
    answer = asyncio.run(DockerProvider().diff(DiffRequest(URN, "id", old, new, [])))
    assert answer.changes and answer.delete_before_replace
    assert answer.replaces == ["image"]


def test_provider_configuration_that_it_does_not_know_is_refused_by_name() -> None:
    request = CheckRequest(URN, {}, {"registryAuth": PropertyValue("x")}, b"")
    answer = asyncio.run(DockerProvider().check_config(request))
    assert answer.failures is not None
    assert "registryAuth" in answer.failures[0].reason


def test_plain_values_go_there_and_back() -> None:
    value = {"a": [1, 2.5, True, None, "x"], "b": {"c": UNKNOWN}}
    assert to_plain(from_plain(value)) == value
    assert plain_map({"n": PropertyValue(3.0)}) == {"n": 3}


@pytest.mark.parametrize(("text", "expected"), [("500ms", 5 * 10**8), ("2s", 2 * 10**9), ("1m", 6 * 10**10)])
def test_durations_are_read(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


def test_a_wrong_duration_is_refused_with_examples() -> None:
    with pytest.raises(DockerRefusedError, match="'soon' is not a duration"):
        nanoseconds("soon")
