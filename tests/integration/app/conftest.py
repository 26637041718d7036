"""A throwaway Postgres, and the service from its bundle in the hosts' image beside it."""

import hashlib
import http.client
import json
import secrets
import subprocess
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine

from app import build
from app.bundle import layer
from infra.paths import cache_dir, repo_root
from tools.setup.images import reference

VERSION = "1.2.3"
SERVICE_PORT = 8001
KEY = "plk_" + secrets.token_urlsafe(32)
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}


def docker(*arguments: str, check: bool = True, timeout_s: float = 60, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=check, timeout=timeout_s, **more
    )


def until(condition, timeout_s: float, what: str):
    """The condition's first true value; a failed test when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {timeout_s} s")


@pytest.fixture
def containers():
    """Names for containers that are removed after the test, whatever happens."""
    names = []

    def new(kind: str) -> str:
        names.append(f"plumbline-test-{kind}-{uuid.uuid4().hex[:8]}")
        return names[-1]

    yield new
    for name in reversed(names):
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def postgres(containers):
    """A fresh database; other containers may join its network and reach it at 127.0.0.1:5432."""
    name = containers("postgres")
    ports = [f"--publish=127.0.0.1:0:{port}" for port in (5432, SERVICE_PORT)]
    environment = ["--env=POSTGRES_PASSWORD=not-a-secret", "--env=POSTGRES_USER=ids", "--env=POSTGRES_DB=ids"]
    docker(
        "run", "--detach", "--name", name, "--label", "plumbline.test=app", *ports, *environment,
        reference("postgres"), "-c", "fsync=off",
    )  # fmt: skip
    until(lambda: docker("exec", name, "ready", check=False).returncode == 0, 60, "Postgres ready")
    port = docker("port", name, "5432/tcp").stdout.strip().rsplit(":", 1)[1]
    published = docker("port", name, f"{SERVICE_PORT}/tcp").stdout.strip().rsplit(":", 1)[1]
    return SimpleNamespace(
        name=name,
        url=f"postgresql://ids:not-a-secret@127.0.0.1:{port}/ids",
        url_inside="postgresql://ids:not-a-secret@127.0.0.1:5432/ids",
        service_port=int(published),
    )


@pytest.fixture
def engine(postgres):
    made = create_engine(postgres.url.replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """One bundle for the session; its layers come from the machine's cache."""
    out = tmp_path_factory.mktemp("bundle")
    manifest = build.build(VERSION, out, repo_root(), cache_dir() / "bundle-layers", layer.find_compiler())
    return out / json.loads(manifest.read_text())["file"]


class Installed:
    """A container of the hosts' image with the bundle unpacked, as a role would leave it."""

    def __init__(self, name: str, postgres, faults_allowed: bool) -> None:
        self.name, self.port = name, postgres.service_port
        self._environment = {
            "PYTHONPATH": "/opt/release/site-packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PLUMBLINE_SLOT": "blue",
            "PLUMBLINE_VERSION": VERSION,
            "PLUMBLINE_BIND": f"0.0.0.0:{SERVICE_PORT}",
            "PLUMBLINE_DATABASE_URL": postgres.url_inside,
            "PLUMBLINE_ETCD_URL": "http://127.0.0.1:2379",
            "PLUMBLINE_REDIS_URL": "redis://127.0.0.1:6379/0",
            "PLUMBLINE_LEASE_TTL_S": "5",
            "PLUMBLINE_BOOTSTRAP_KEY_SHA256": hashlib.sha256(KEY.encode()).hexdigest(),
            "PLUMBLINE_RUNTIME_DIR": "/run/plumbline",
            "PLUMBLINE_STATE_DIR": "/var/lib/plumbline",
            "PLUMBLINE_RELEASE_CONFIG": "/etc/release.json",
            "PLUMBLINE_FAULTS_ALLOWED": str(faults_allowed).lower(),
        }

    def python(
        self, *arguments: str, detach: bool = False, check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run the host's Python with the bundle's modules."""
        environment = [f"--env={key}={value}" for key, value in self._environment.items()]
        return docker(
            "exec", *(["--detach"] if detach else []), *environment, self.name, "/usr/bin/python3",
            *arguments, check=check,
        )  # fmt: skip

    def configure(self, content: dict) -> None:
        docker("exec", "-i", self.name, "sh", "-c", "cat > /etc/release.json", input=json.dumps(content))

    def start(self) -> None:
        """The downstream and gunicorn, until ready."""
        self.python("-m", "app.downstream", detach=True)
        self.serve()

    def serve(self) -> None:
        self.python(
            "-m", "gunicorn", "-c", "/opt/release/gunicorn.conf.py", "--pid", "/run/gunicorn.pid",
            "--capture-output", detach=True,
        )  # fmt: skip
        until(lambda: self.call("GET", "/readyz")[0] == 200, 40, "service ready")

    def stop(self) -> None:
        """End gunicorn gracefully, until its master is gone: another one wouldn't begin before."""
        self.shell("kill -TERM $(cat /run/gunicorn.pid)")
        gone = "! kill -0 $(cat /run/gunicorn.pid 2>/dev/null) 2>/dev/null && echo gone"
        until(lambda: self.shell(gone, check=False), 35, "gunicorn gone")

    def call(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict, dict]:
        """(status, headers, content); status 0 without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body=body, headers={**AUTHORIZATION, **headers})
            answer = connection.getresponse()
            body = answer.read()
            kind = answer.headers.get("Content-Type", "")
            content = json.loads(body) if "json" in kind else {"text": body.decode()}
            return answer.status, dict(answer.headers), content
        except (OSError, http.client.HTTPException):
            return 0, {}, {}
        finally:
            connection.close()

    def shell(self, line: str, check: bool = True) -> str:
        return docker("exec", self.name, "sh", "-c", line, check=check).stdout.strip()


@pytest.fixture
def install(postgres, containers, bundle):
    """install(faults_allowed=...) -> a host with the bundle and a migrated database."""

    def new(faults_allowed: bool = False) -> Installed:
        inside = f"--network=container:{postgres.name}"
        for part in ("redis", "etcd"):
            docker("run", "--detach", "--name", containers(part), "--label", "plumbline.test=app", inside,
                   reference(part))  # fmt: skip
        name = containers("host")
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=app", inside,
            "--entrypoint", "sleep", reference("host"), "600",
        )  # fmt: skip
        docker("exec", name, "mkdir", "-p", "/opt/release")
        docker("cp", str(bundle), f"{name}:/opt/bundle.tgz")
        docker("exec", name, "tar", "-xzf", "/opt/bundle.tgz", "-C", "/opt/release")
        host = Installed(name, postgres, faults_allowed)
        host.configure({})
        host.python("-m", "app.migrate", "upgrade")
        return host

    return new
