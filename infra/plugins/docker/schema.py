"""The resource types that the plugin serves: their properties, defaults and what a change of each means.

Tokens, names and defaults are those of the official docker plugin 5.x, so that a state written by the one
is taken over by the other. A property that is not listed here is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# The official default; the platform always names an address of this machine instead.
ANY_ADDRESS = "0.0.0.0"  # noqa: S104

Kind = Literal["string", "number", "boolean", "strings", "map", "object", "objects"]


@dataclass(frozen=True)
class Property:
    """One input.

    kind: what values it takes ("strings" is a list of strings, "objects" a list of `fields`).
    default: what check fills in; None leaves the input out.
    empty: what the outputs hold when the input is not given.
    replace: whether a change needs a new object.
    computed: the daemon fills it in when it is not given, so its absence is no difference.
    unordered: a list whose order means nothing.
    """

    kind: Kind
    default: Any = None
    empty: Any = None
    required: bool = False
    replace: bool = True
    computed: bool = False
    unordered: bool = False
    fields: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceType:
    """A token and its inputs."""

    token: str
    properties: Mapping[str, Property]


def _string(**more: Any) -> Property:
    return Property("string", **more)


LABELS = Property(
    "objects",
    empty=[],
    unordered=True,
    fields={"label": _string(required=True), "value": _string(required=True)},
)

NETWORK = ResourceType(
    "docker:index/network:Network",
    {
        "name": _string(required=True),
        "driver": _string(default="bridge"),
        "ipamDriver": _string(default="default"),
        "ipamConfigs": Property(
            "objects",
            empty=[],
            computed=True,
            fields={
                "subnet": _string(empty=""),
                "gateway": _string(empty="", computed=True),
                "ipRange": _string(empty=""),
            },
        ),
        "internal": Property("boolean", empty=False),
        "attachable": Property("boolean", empty=False),
        "options": Property("map", empty={}, computed=True),
        "labels": LABELS,
    },
)

VOLUME = ResourceType(
    "docker:index/volume:Volume",
    {
        "name": _string(required=True),
        "driver": _string(empty="local", computed=True),
        "driverOpts": Property("map"),
        "labels": LABELS,
    },
)

REMOTE_IMAGE = ResourceType(
    "docker:index/remoteImage:RemoteImage",
    {
        "name": _string(required=True),
        "keepLocally": Property("boolean", replace=False),
        "forceRemove": Property("boolean", replace=False),
        "pullTriggers": Property("strings", unordered=True),
        "triggers": Property("map"),
    },
)

_CAPABILITIES = {
    "adds": Property("strings", empty=[], unordered=True),
    "drops": Property("strings", empty=[], unordered=True),
}
_HEALTHCHECK = {
    "tests": Property("strings", required=True),
    "interval": _string(default="0s"),
    "timeout": _string(default="0s"),
    "retries": Property("number", default=0),
    "startPeriod": _string(default="0s"),
    "startInterval": _string(default="0s"),
}
_NETWORKS = {
    "name": _string(required=True),
    "ipv4Address": _string(empty=""),
    "aliases": Property("strings", empty=[], unordered=True),
}
_PORTS = {
    "internal": Property("number", required=True),
    "external": Property("number", computed=True),
    "ip": _string(default=ANY_ADDRESS),
    "protocol": _string(default="tcp"),
}
_UPLOADS = {
    "file": _string(required=True),
    "content": _string(empty=""),
    "contentBase64": _string(empty=""),
    "executable": Property("boolean", empty=False),
    "permissions": _string(empty=""),
}
_VOLUMES = {
    "containerPath": _string(empty=""),
    "hostPath": _string(empty=""),
    "volumeName": _string(empty=""),
    "readOnly": Property("boolean"),
}

CONTAINER = ResourceType(
    "docker:index/container:Container",
    {
        "name": _string(required=True),
        "image": _string(required=True),
        "capabilities": Property("object", fields=_CAPABILITIES),
        "cgroupnsMode": _string(computed=True),
        "command": Property("strings", computed=True),
        "containerReadRefreshTimeoutMilliseconds": Property("number", default=15000, replace=False),
        "destroyGraceSeconds": Property("number", replace=False),
        "entrypoints": Property("strings", empty=[], computed=True),
        "envs": Property("strings", empty=[], unordered=True),
        "groupAdds": Property("strings", unordered=True),
        "healthcheck": Property("object", computed=True, fields=_HEALTHCHECK),
        "hostname": _string(computed=True),
        "init": Property("boolean", empty=False),
        "labels": LABELS,
        "logDriver": _string(computed=True),
        "logOpts": Property("map", computed=True),
        "memory": Property("number", empty=0, replace=False),
        "memorySwap": Property("number", empty=0, replace=False, computed=True),
        "mustRun": Property("boolean", default=True, replace=False),
        "networkMode": _string(default="bridge"),
        "networksAdvanced": Property("objects", empty=[], unordered=True, fields=_NETWORKS),
        "ports": Property("objects", empty=[], unordered=True, fields=_PORTS),
        "removeVolumes": Property("boolean", default=True, replace=False),
        "restart": _string(default="no", replace=False),
        "securityOpts": Property("strings", empty=[], unordered=True),
        "shmSize": Property("number", empty=64, computed=True),
        "start": Property("boolean", default=True, replace=False),
        "stopSignal": _string(computed=True),
        "stopTimeout": Property("number", empty=0, computed=True),
        "sysctls": Property("map"),
        "tmpfs": Property("map", empty={}),
        "uploads": Property("objects", empty=[], unordered=True, fields=_UPLOADS),
        "user": _string(empty="", computed=True),
        "volumes": Property("objects", empty=[], unordered=True, fields=_VOLUMES),
        "wait": Property("boolean", default=False, replace=False),
        "waitTimeout": Property("number", default=60, replace=False),
        "workingDir": _string(empty="", computed=True),
    },
)

TYPES = {kind.token: kind for kind in (NETWORK, VOLUME, REMOTE_IMAGE, CONTAINER)}


class UnknownTypeError(LookupError):
    """A type that the plugin doesn't serve."""


def resource_type(token: str) -> ResourceType:
    """The type of a token. Raises UnknownTypeError, naming the types that are served."""
    token = token.rsplit("$", 1)[-1]  # a URN names the parents' types before it
    if token not in TYPES:
        served = ", ".join(sorted(TYPES))
        raise UnknownTypeError(
            f"type {token} is not served by the bundled docker plugin; served are {served}"
        )
    return TYPES[token]
