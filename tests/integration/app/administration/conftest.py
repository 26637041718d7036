"""The administrative API over a real Postgres: a database of its own for each test, and a real audit log."""

import hashlib
import secrets
import socket
import subprocess
import time
import uuid

import psycopg
import pytest
from flask import Flask, request

from app.audit import store
from app.audit.key_use import KeyUse
from app.audit.log import AuditLog
from app.auth.directory import KeyDirectory
from app.auth.rows import KeyRows
from app.migrate import upgrade
from app.plugins.plugin import Context
from app.plugins.registry import Registry
from app.server import request_context
from app.server.admission import Admission
from app.server.api import alerts, audit, groups, keys, plugins, snapshots, tags, workspaces
from app.server.operation import install
from app.storage import database
from tools.setup.images import reference


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check, timeout=60)
    return done.stdout.strip()


class Server:
    """A Postgres in a container; the port stays the same over a stop and a start."""

    def __init__(self, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.name, self.port = name, probe.getsockname()[1]

    def url(self, name: str) -> str:
        return f"postgresql://ids:not-a-secret@127.0.0.1:{self.port}/{name}"

    def new(self, template: str = "template1") -> str:
        name = f"test_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(self.url("ids"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("ids"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        docker("stop", "--time", "10", self.name)

    def start(self) -> None:
        docker("start", self.name)
        self.wait()


@pytest.fixture(scope="session")
def server():
    made = Server(f"plumbline-test-postgres-{uuid.uuid4().hex[:8]}")
    try:
        docker(
            "run", "--detach", "--name", made.name, "--label", "plumbline.test=app",
            f"--publish=127.0.0.1:{made.port}:5432", "--env=POSTGRES_PASSWORD=not-a-secret",
            "--env=POSTGRES_USER=ids", "--env=POSTGRES_DB=ids", reference("postgres"), "-c", "fsync=off",
        )  # fmt: skip
        made.wait()
        docker("exec", made.name, "psql", "--username=postgres", "-c", "ALTER ROLE ids CREATEDB")
        yield made
    finally:
        docker("rm", "--force", "--volumes", made.name, check=False)


ROOT_TOKEN = "plk_" + secrets.token_urlsafe(32)


@pytest.fixture(scope="session")
def template(server) -> str:
    url = server.new()
    engine = database.connect(url)
    upgrade(engine, bootstrap_sha256=hashlib.sha256(ROOT_TOKEN.encode()).digest())
    engine.dispose()
    return url.rpartition("/")[2]


@pytest.fixture
def engine(server, template):
    made = database.connect(server.new(template), pool_min=2, pool_max=16)
    yield made
    made.dispose()


class Service:
    """The blueprints in an application, as the service puts them together, and a client of it."""

    def __init__(self, engine, state_dir) -> None:
        self.engine, self.state_dir = engine, state_dir
        self.changed, self.counted, self.reloads = [], [], []
        write, write_once = store.writers(engine)
        self.audit = AuditLog(
            write, write_once=write_once, spool_dir=state_dir, context=self._context, retry_s=0.2
        )
        use = KeyUse(self.audit.record, time.time, lambda ids: store.owners(engine, ids))
        self.directory = KeyDirectory(KeyRows(engine), time.monotonic, time.time, on_used=use.used)
        self.audit.each_second(lambda last: self.directory.flush_used())
        self.audit.each_second(use.flush)
        trial = Context(0, 0, lambda: time.time_ns() // 1_000_000, time.monotonic, secrets.token_bytes)
        self.plugins = Registry(("segment", "snowflake"), trial, path=[], record=self.audit.record)
        self.known = set()
        app = Flask("test", static_folder=None)
        install(app, admission=Admission(self.directory.authenticate))
        record, changed = self.audit.record, lambda *place: self.changed.append(place)
        known = self.known.__contains__
        for blueprint in (
            workspaces.blueprint(engine, record, self.directory.revoked),
            groups.blueprint(engine, record),
            tags.blueprint(engine, record, changed, known),
            keys.blueprint(engine, record, self.directory.revoked, self.directory.changed),
            audit.blueprint(engine),
            alerts.blueprint(engine),
            plugins.blueprint(self.plugins, lambda: self.reloads.append(1)),
            snapshots.blueprint(
                engine, record, changed, known, count=lambda *outcome: self.counted.append(outcome)
            ),
        ):
            app.register_blueprint(blueprint)
        self.app = app
        self.audit.start()

    @staticmethod
    def _context() -> tuple[str, str]:
        if not request:
            return "", ""
        context = request_context.of(request.environ)
        return context.request_id, context.trace_id

    def as_(self, token: str | None = ROOT_TOKEN):
        return Caller(self.app.test_client(), token)

    def events(self, caller=None, **query) -> list[dict]:
        """The audit log's events once everything up to now is written, the oldest first."""
        deadline = time.monotonic() + 10
        while self.audit.pending and time.monotonic() < deadline:
            time.sleep(0.02)
        answer = (caller or self.as_()).get("/v1/audit", query={"limit": 500, **query})
        assert answer.status_code == 200, answer.text
        return answer.json["items"][::-1]


class Caller:
    """call(path, json=...) with a key; answers are Flask's."""

    def __init__(self, http, token) -> None:
        self._http, self._token = http, token

    def call(self, method, path, query=None, headers=(), **more):
        authorization = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._http.open(
            path, method=method, query_string=query, headers={**authorization, **dict(headers)}, **more
        )

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, json=None, **more):
        return self.call("POST", path, json={} if json is None else json, **more)

    def patch(self, path, json, **more):
        return self.call("PATCH", path, json=json, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)


@pytest.fixture
def service(engine, tmp_path):
    made = Service(engine, tmp_path / "state")
    yield made
    made.audit.close(5)


@pytest.fixture
def root(service):
    return service.as_()


@pytest.fixture
def tenant(service, root):
    """An administrator of a workspace of its own."""
    made = root.post("/v1/workspaces", {"name": "shop"})
    assert made.status_code == 201, made.text
    return service.as_(made.json["key"]["token"])


def problem(answer, status: int, slug: str) -> str:
    """The detail of the problem that the answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == f"/problems/{slug}", answer.text
    return answer.json["detail"]


@pytest.fixture
def refused():
    return problem
