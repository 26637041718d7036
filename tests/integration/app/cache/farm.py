"""Redis servers as processes of one container: alone, under Sentinels, as a cluster."""

import subprocess
import time
import uuid

from app.cache.address import Address, parse
from tools.setup.images import reference

STANDALONE, MASTER, REPLICA = 6379, 6380, 6381
SENTINELS = (26379, 26380, 26381)
CLUSTER = (7000, 7001, 7002, 7003, 7004, 7005)
PASSWORD = "s3/cr@t"
MODES = ("standalone", "sentinel", "cluster")


def docker(*arguments: str, check: bool = True, **more) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=check, timeout=60, **more
    )
    return done.stdout.strip()


def until(condition, timeout_s: float, what: str):
    """The condition's first true value; an error when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s} s")


class Farm:
    """A container whose first process only sleeps; each server is a process beside it, named by its port."""

    def __init__(self) -> None:
        self.name = f"plumbline-test-redis-{uuid.uuid4().hex[:8]}"
        docker(
            "run", "--detach", "--name", self.name, "--label", "plumbline.test=app", "--init",
            "--memory", "512m", "--entrypoint", "sleep", reference("redis"), "900",
        )  # fmt: skip
        self.ip = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.name)

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name, check=False)

    def sh(self, line: str, check: bool = True) -> str:
        return docker("exec", self.name, "sh", "-c", line, check=check)

    def cli(self, port: int, *words: str, password: str | None = PASSWORD) -> str:
        login = ["--no-auth-warning", "-a", password] if password else []
        return docker("exec", self.name, "redis-cli", "-p", str(port), *login, *words, check=False)

    def start(self, port: int, *options: str) -> None:
        """A server that keeps nothing on disk but, in a cluster, its view of the others."""
        arguments = [
            "--port", str(port), "--bind", "0.0.0.0", "--protected-mode", "no", "--daemonize", "yes",
            "--dir", f"/tmp/{port}", "--pidfile", f"/tmp/{port}/pid", "--save", "", "--appendonly", "no",
            "--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *options,
        ]  # fmt: skip
        self.sh(f"mkdir -p /tmp/{port}")
        docker("exec", self.name, "redis-server", *arguments)
        until(lambda: self.cli(port, "ping") == "PONG", 10, f"Redis at {port}")

    def signal(self, port: int, signal: str = "KILL") -> None:
        """KILL: gone like a crashed host. STOP: accepts and never answers, until CONT."""
        self.sh(f"kill -{signal} $(cat /tmp/{port}/pid)", check=False)

    def flush(self, *ports: int) -> None:
        for port in ports:
            self.cli(port, "flushall")

    def standalone(self) -> Address:
        self.start(STANDALONE)
        return parse(f"redis://:{_encoded()}@{self.ip}:{STANDALONE}/3")

    def sentinel(self) -> Address:
        """A master, a replica, three Sentinels that need 0.6 s to find a master dead."""
        self.start(MASTER, "--replica-announce-ip", self.ip)
        self.start(REPLICA, "--replica-announce-ip", self.ip, "--replicaof", self.ip, str(MASTER))
        for port in SENTINELS:
            settings = (
                f"port {port}\nprotected-mode no\ndir /tmp/{port}\npidfile /tmp/{port}/pid\ndaemonize yes\n"
                f"sentinel monitor main {self.ip} {MASTER} 2\nsentinel auth-pass main {PASSWORD}\n"
                "sentinel down-after-milliseconds main 600\nsentinel failover-timeout main 3000\n"
            )
            self.sh(f"mkdir -p /tmp/{port} && printf '%s' '{settings}' > /tmp/{port}/conf")
            docker("exec", self.name, "redis-server", f"/tmp/{port}/conf", "--sentinel")
        until(lambda: all(self._quorum(port) for port in SENTINELS), 20, "Sentinels that know each other")
        nodes = ",".join(f"{self.ip}:{port}" for port in SENTINELS)
        return parse(f"redis+sentinel://:{_encoded()}@{nodes}/main")

    def _quorum(self, port: int) -> bool:
        told = self.cli(port, "sentinel", "master", "main", password=None).split("\n")
        state = dict(zip(told[::2], told[1::2], strict=False))
        return state.get("num-other-sentinels") == "2" and state.get("num-slaves") == "1"

    def cluster(self) -> Address:
        """Three masters with a replica each; a node counts as dead after 0.6 s."""
        for port in CLUSTER:
            self.start(port, "--cluster-enabled", "yes", "--cluster-node-timeout", "600",
                       "--cluster-announce-ip", self.ip)  # fmt: skip
        nodes = [f"{self.ip}:{port}" for port in CLUSTER]
        docker(
            "exec", self.name, "redis-cli", "--no-auth-warning", "-a", PASSWORD, "--cluster", "create",
            *nodes, "--cluster-replicas", "1", "--cluster-yes",
        )  # fmt: skip
        until(lambda: all(self._agrees(port) for port in CLUSTER), 20, "a cluster that agrees")
        return parse(f"redis+cluster://:{_encoded()}@{','.join(nodes[:3])}")

    def _agrees(self, port: int) -> bool:
        info = self.cli(port, "cluster", "info")
        nodes = self.cli(port, "cluster", "nodes")
        return (
            "cluster_state:ok" in info
            and nodes.count("slave") == 3
            and "master_link_status:down" not in (self.cli(port, "info", "replication"))
        )

    def of(self, mode: str) -> Address:
        return getattr(self, mode)()

    def masters(self, mode: str) -> list[int]:
        ports = {"standalone": (STANDALONE,), "sentinel": (MASTER, REPLICA), "cluster": CLUSTER}[mode]
        return [port for port in ports if "role:master" in self.cli(port, "info", "replication")]


def _encoded() -> str:
    return PASSWORD.replace("/", "%2F").replace("@", "%40")
