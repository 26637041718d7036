"""What `docker inspect` says about a container, as the outputs that the official plugin writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.plugins.docker.objects import label_list
from infra.plugins.docker.schema import ANY_ADDRESS

MIB = 1024 * 1024
_META = (
    '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":1200000000000,"delete":1200000000000,'
    '"update":1200000000000},"schema_version":"2"}'
)
# Outputs that the platform never sets, with the values that the official plugin gives them.
_CONSTANT: dict[str, Any] = {
    "attach": False,
    "bridge": "",
    "cgroupParent": None,
    "containerLogs": None,
    "cpuPeriod": None,
    "cpuQuota": None,
    "cpuSet": "",
    "cpuShares": 0,
    "cpus": None,
    "deviceReadBps": [],
    "deviceReadIops": [],
    "deviceRequests": [],
    "deviceWriteBps": [],
    "deviceWriteIops": [],
    "devices": [],
    "dns": None,
    "dnsOpts": None,
    "dnsSearches": None,
    "domainname": "",
    "exitCode": None,
    "gpus": None,
    "hosts": [],
    "logs": False,
    "maxRetryCount": 0,
    "memoryReservation": 0,
    "mounts": [],
    "pidMode": None,
    "platform": "linux",
    "publishAllPorts": False,
    "readOnly": False,
    "rm": False,
    "stdinOpen": False,
    "storageOpts": None,
    "tty": False,
    "ulimits": [],
    "usernsMode": "",
}
# Inputs that Docker doesn't keep: the outputs repeat them.
_REPEATED = (
    "containerReadRefreshTimeoutMilliseconds",
    "destroyGraceSeconds",
    "removeVolumes",
    "start",
    "wait",
    "waitTimeout",
    "networkMode",
)


def outputs_of(found: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs from an inspection; `inputs` says which of Docker's values were asked for."""
    config, host = found["Config"], found["HostConfig"]
    restart = (host.get("RestartPolicy") or {}).get("Name") or "no"
    return {
        **_CONSTANT,
        **{key: inputs.get(key) for key in _REPEATED},
        "__meta": _META,
        "capabilities": _capabilities(host, inputs),
        "cgroupnsMode": host.get("CgroupnsMode", ""),
        "command": config.get("Cmd") or [],
        "entrypoints": inputs.get("entrypoints") or [],
        "envs": _envs(config, inputs),
        "groupAdds": host.get("GroupAdd") or None,
        "healthcheck": _healthcheck(config.get("Healthcheck"), inputs),
        "hostname": config.get("Hostname", ""),
        "image": found["Image"],
        "init": bool(host.get("Init")),
        "ipcMode": host.get("IpcMode", ""),
        "labels": label_list(config.get("Labels"), inputs.get("labels")),
        "logDriver": (host.get("LogConfig") or {}).get("Type", ""),
        "logOpts": (host.get("LogConfig") or {}).get("Config") or None,
        "memory": (host.get("Memory") or 0) // MIB,
        "memorySwap": max((host.get("MemorySwap") or 0) // MIB, 0),
        "mustRun": bool(inputs.get("mustRun", True)) and bool(found["State"]["Running"]),
        "name": found["Name"].lstrip("/"),
        "networkDatas": _network_datas(found),
        "networksAdvanced": _networks(found, inputs),
        "ports": _ports(host),
        "privileged": bool(host.get("Privileged")),
        "restart": restart,
        "runtime": host.get("Runtime", ""),
        "securityOpts": host.get("SecurityOpt") or [],
        "shmSize": (host.get("ShmSize") or 0) // MIB,
        "stopSignal": config.get("StopSignal", ""),
        "stopTimeout": config.get("StopTimeout") or 0,
        "sysctls": host.get("Sysctls") or None,
        "tmpfs": host.get("Tmpfs") or {},
        "uploads": [_upload(item) for item in inputs.get("uploads") or []],
        "user": config.get("User", ""),
        "volumes": _volumes(host),
        "workingDir": config.get("WorkingDir", ""),
    }


def _capabilities(host: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, list[str]] | None:
    adds, drops = host.get("CapAdd") or [], host.get("CapDrop") or []
    if not (adds or drops or inputs.get("capabilities")):
        return None
    return {"adds": sorted(adds), "drops": sorted(drops)}


def _envs(config: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """The variables that were asked for, as the container has them; the image's own stay out."""
    asked = {item.partition("=")[0] for item in inputs.get("envs") or []}
    return [item for item in config.get("Env") or [] if item.partition("=")[0] in asked]


def _healthcheck(found: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    if not found or not inputs.get("healthcheck"):
        return None
    wanted = inputs["healthcheck"]
    return {key: wanted.get(key) for key in wanted if not key.startswith("__")} | {
        "tests": found.get("Test") or [],
        "retries": found.get("Retries") or 0,
    }


def _network_datas(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return [
        {
            "gateway": data.get("Gateway", ""),
            "globalIpv6Address": data.get("GlobalIPv6Address", ""),
            "globalIpv6PrefixLength": data.get("GlobalIPv6PrefixLen", 0),
            "ipAddress": data.get("IPAddress", ""),
            "ipPrefixLength": data.get("IPPrefixLen", 0),
            "ipv6Gateway": data.get("IPv6Gateway", ""),
            "macAddress": data.get("MacAddress", ""),
            "networkName": name,
        }
        for name, data in sorted(networks.items())
    ]


def _networks(found: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The networks that were asked for, as far as the container is on them."""
    actual = (found.get("NetworkSettings") or {}).get("Networks") or {}
    result = []
    for wanted in inputs.get("networksAdvanced") or []:
        data = actual.get(wanted["name"])
        if data is None:
            continue
        aliases = set(data.get("Aliases") or []) & set(wanted.get("aliases") or [])
        result.append(
            {
                "aliases": sorted(aliases),
                "driverOpts": [],
                "gwPriority": None,
                "ipv4Address": (data.get("IPAMConfig") or {}).get("IPv4Address", ""),
                "ipv6Address": "",
                "linkLocalIps": [],
                "macAddress": "",
                "name": wanted["name"],
            }
        )
    return result


def _ports(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    result = []
    for key, bindings in sorted((host.get("PortBindings") or {}).items()):
        number, _, protocol = key.partition("/")
        for binding in bindings or []:
            result.append(
                {
                    "external": int(binding.get("HostPort") or 0),
                    "internal": int(number),
                    "ip": binding.get("HostIp") or ANY_ADDRESS,
                    "protocol": protocol,
                }
            )
    return result


def _upload(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "content": wanted.get("content", ""),
        "contentBase64": wanted.get("contentBase64", ""),
        "executable": wanted.get("executable", False),
        "file": wanted["file"],
        "permissions": wanted.get("permissions", ""),
        "source": "",
        "sourceHash": "",
    }


def _volumes(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    result = []
    for bind in host.get("Binds") or []:
        source, path, *mode = bind.split(":")
        is_path = source.startswith("/")
        result.append(
            {
                "containerPath": path,
                "fromContainer": "",
                "hostPath": source if is_path else "",
                "readOnly": True if mode and "ro" in mode[0].split(",") else None,
                "selinuxRelabel": "",
                "volumeName": "" if is_path else source,
            }
        )
    return result
