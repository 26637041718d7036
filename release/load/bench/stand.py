"""The service with everything it uses, in containers of one network namespace: what is measured.

Postgres, Redis and etcd are the platform's images; the service runs from a bundle on the hosts' image, as on
a host. Everything has one label and one name, and is removed at the end, also after a failure.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

LABEL = "plumbline.stand"
SERVICE_PORTS = (8001, 8002, 8003, 8004)
PYTHON = "/usr/bin/python3"
_ROOT = "/opt/release"
PACKAGES = f"{_ROOT}/site-packages"
_START_LIMIT_S = 90.0


class StandError(RuntimeError):
    """A part of the stand didn't come up; says which and its last words."""


def docker(*arguments: str, check: bool = True, timeout_s: float = 90, **more: Any) -> str:
    """Run docker; its output. Raises StandError with what it said."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_s, **more
    )
    if check and done.returncode != 0:
        raise StandError(f"docker {arguments[0]}: {done.stderr.strip()[-600:]}")
    return str(done.stdout).strip()


def until(condition: Callable[[], object], what: str, limit_s: float = _START_LIMIT_S) -> None:
    """Wait until it's true. Raises StandError."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise StandError(f"{what}: not within {limit_s:g} s")
        time.sleep(0.1)


@dataclass
class Service:
    """One gunicorn of the stand. `environment` is added to what every service gets."""

    stand: Stand
    name: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Run it until it is ready."""
        log = f"/var/log/{self.name}.log"
        serve = f"exec {PYTHON} -m gunicorn -c {_ROOT}/gunicorn.conf.py --pid {self.pid_file} > {log} 2>&1"
        settings = [f"--env={key}={value}" for key, value in self.settings().items()]
        docker("exec", "--detach", *settings, self.stand.host, "sh", "-c", serve)
        try:
            until(self.ready, f"{self.name} ready")
        except StandError as error:
            said = docker("exec", self.stand.host, "tail", "-n", "5", log, check=False)
            raise StandError(f"{error}; it said: {said[-1500:]}") from None

    def settings(self) -> dict[str, str]:
        """The whole environment of the service."""
        return {
            "PYTHONPATH": PACKAGES,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PLUMBLINE_SLOT": "blue",
            "PLUMBLINE_VERSION": self.stand.version,
            "PLUMBLINE_BIND": f"0.0.0.0:{self.port}",
            "PLUMBLINE_DATABASE_URL": self.stand.database_url,
            "PLUMBLINE_ETCD_URL": "http://127.0.0.1:2379",
            "PLUMBLINE_REDIS_URL": "redis://127.0.0.1:6379/0",
            "PLUMBLINE_HOST_INDEX": str(SERVICE_PORTS.index(self.port)),
            "PLUMBLINE_RUNTIME_DIR": f"/run/{self.name}",
            "PLUMBLINE_STATE_DIR": f"/var/lib/{self.name}",
            **self.environment,
        }

    @property
    def pid_file(self) -> str:
        """Where gunicorn's master notes its process id, in the container."""
        return f"/run/{self.name}.pid"

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self.call("GET", "/readyz")[0] == 200

    def call(self, method: str, path: str, **headers: str) -> tuple[int, bytes]:
        """(status, body) of one request with the stand's key; status 0 without an answer."""
        connection = http.client.HTTPConnection(self.stand.address, self.port, timeout=15)
        try:
            connection.request(method, path, headers={**self.stand.authorization, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """Process ids of its workers, in the container."""
        line = f"pgrep -P $(cat {self.pid_file})"
        return [int(pid) for pid in self.shell(line, check=False).split()]

    def kill(self) -> None:
        """End master and workers at once, as a crash does."""
        self.shell(f"kill -9 $(cat {self.pid_file}) $(pgrep -P $(cat {self.pid_file}))", check=False)

    def stop(self) -> None:
        """End it gracefully."""
        self.shell(f"kill -TERM $(cat {self.pid_file})", check=False)
        gone = f"! kill -0 $(cat {self.pid_file} 2>/dev/null) 2>/dev/null && echo gone"
        until(lambda: self.shell(gone, check=False), f"{self.name} gone", 40)

    def shell(self, line: str, check: bool = True) -> str:
        """A shell line in the container."""
        return docker("exec", self.stand.host, "sh", "-c", line, check=check)


class Stand:
    """Use as a context. `images`: of postgres, redis, etcd and host; `bundle`: the service's archive."""

    def __init__(self, images: Mapping[str, str], bundle: Path, version: str) -> None:
        self._images, self._bundle, self.version = images, bundle, version
        self.name = f"plumbline-stand-{secrets.token_hex(4)}"
        self.key = "plk_" + secrets.token_urlsafe(32)
        self._password = secrets.token_urlsafe(16)
        self.address = ""

    @property
    def authorization(self) -> dict[str, str]:
        """The header that every request needs."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def database_url(self) -> str:
        """As the service sees it."""
        return f"postgresql://ids:{self._password}@127.0.0.1:5432/ids"

    @property
    def host(self) -> str:
        """The container that services run in."""
        return f"{self.name}-host"

    def __enter__(self) -> Stand:
        try:
            self._start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def container(self, part: str) -> str:
        """The name of a part's container: postgres, redis, etcd, host."""
        return f"{self.name}-{part}"

    def service(self, name: str = "ids", port: int = SERVICE_PORTS[0], **environment: str) -> Service:
        """A service of this stand, not started yet."""
        return Service(self, name, port, environment)

    def remove(self) -> None:
        """Remove what this stand made."""
        made = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.name}", check=False).split()
        if made:
            docker("rm", "--force", "--volumes", *made, check=False)

    def migrate(self) -> None:
        """Bring the database to the bundle's schema, with the stand's key in it."""
        settings = {
            "PYTHONPATH": PACKAGES,
            "PLUMBLINE_DATABASE_URL": self.database_url,
            "PLUMBLINE_BOOTSTRAP_KEY_SHA256": hashlib.sha256(self.key.encode()).hexdigest(),
        }
        env = [f"--env={key}={value}" for key, value in settings.items()]
        docker("exec", *env, self.host, PYTHON, "-m", "app.migrate", "upgrade")

    def sql(self, statement: str) -> str:
        """What the database's superuser gets for a statement."""
        ask = ["psql", "-U", "postgres", "-d", "ids", "-Atc", statement]
        return docker("exec", self.container("postgres"), *ask)

    def _start(self) -> None:
        # The host owns the network namespace: the others can be restarted in it.
        self._run("host", ["86400"], options=["--entrypoint", "sleep"])
        found = json.loads(docker("inspect", self.host))[0]["NetworkSettings"]
        self.address = found["IPAddress"]
        inside = ["--network", f"container:{self.host}"]
        self._run("postgres", [], "POSTGRES_USER=ids", "POSTGRES_DB=ids",
                  f"POSTGRES_PASSWORD={self._password}", options=inside)  # fmt: skip
        self._run("redis", [], options=inside)
        self._run("etcd", [], options=inside)
        docker("exec", self.host, "mkdir", "-p", _ROOT)
        docker("cp", str(self._bundle), f"{self.host}:/opt/bundle.tgz")
        docker("exec", self.host, "tar", "-xzf", "/opt/bundle.tgz", "-C", _ROOT)
        for part in ("postgres", "redis", "etcd"):
            until(lambda part=part: self.is_ready(part), f"{part} ready")  # type: ignore[misc]
        self.migrate()

    def is_ready(self, part: str) -> bool:
        """Whether the image's own check passes."""
        command = ["docker", "exec", self.container(part), "ready"]
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0

    def _run(self, part: str, arguments: Sequence[str], *env: str, options: Sequence[str] = ()) -> None:
        docker(
            "run", "--detach", "--name", self.container(part), "--label", f"{LABEL}={self.name}", *options,
            *(f"--env={entry}" for entry in env), self._images[part], *arguments,
        )  # fmt: skip
