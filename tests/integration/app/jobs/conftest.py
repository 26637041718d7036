"""One Postgres with this version's schema for a file of tests, the API over it, and workers as processes."""

import os
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from app.jobs.export import KIND
from app.jobs.queue import JobQueue
from app.jobs.store import LocalStore
from app.migrate import upgrade
from app.server.admission import Admission
from app.server.api import exports
from app.server.operation import install
from app.storage.tags import TagDirectory
from infra.paths import repo_root
from tools.setup.images import reference

from ..conftest import docker, until

LEASE_S = 2


@pytest.fixture(scope="module")
def postgres():
    name = f"plumbline-test-postgres-{uuid.uuid4().hex[:8]}"
    environment = ["--env=POSTGRES_PASSWORD=not-a-secret", "--env=POSTGRES_USER=ids", "--env=POSTGRES_DB=ids"]
    try:
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=app",
            "--publish=127.0.0.1:0:5432", *environment, reference("postgres"), "-c", "fsync=off",
        )  # fmt: skip
        until(lambda: docker("exec", name, "ready", check=False).returncode == 0, 60, "Postgres ready")
        port = docker("port", name, "5432/tcp").stdout.strip().rsplit(":", 1)[1]
        yield SimpleNamespace(name=name, url=f"postgresql://ids:not-a-secret@127.0.0.1:{port}/ids")
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture(scope="module")
def migrated(postgres):
    made = create_engine(postgres.url.replace("postgresql://", "postgresql+psycopg://"))
    upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def engine(migrated):
    """A database without jobs."""
    with migrated.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
    return migrated


@pytest.fixture
def new_tag(engine, workspace):
    """new_tag(name, algorithm) -> a tag of the default workspace."""
    statement = (
        "INSERT INTO biz_tags (workspace_id, group_id, name, algorithm) SELECT :workspace, min(id), :name, "
        ":algorithm FROM groups WHERE workspace_id = :workspace ON CONFLICT DO NOTHING"
    )

    def new(name: str, algorithm: str) -> None:
        with engine.begin() as connection:
            values = {"workspace": workspace, "name": name, "algorithm": algorithm}
            connection.execute(text(statement), values)

    return new


@pytest.fixture
def etcd():
    name = f"plumbline-test-etcd-{uuid.uuid4().hex[:8]}"
    try:
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=app",
            "--publish=127.0.0.1:0:2379", reference("etcd"),
        )  # fmt: skip
        until(lambda: docker("exec", name, "ready", check=False).returncode == 0, 60, "etcd ready")
        yield "http://127.0.0.1:" + docker("port", name, "2379/tcp").stdout.strip().rsplit(":", 1)[1]
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def queue(engine):
    return JobQueue(engine, KIND, lease_s=LEASE_S, most_attempts=3)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "exports")


@pytest.fixture
def workspace(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT id FROM workspaces WHERE name = 'default'")).scalar_one()


@pytest.fixture
def caller(workspace):
    return SimpleNamespace(
        key_id=1, workspace_id=workspace, workspace="default", name="test", scopes=frozenset({"issue"})
    )


@pytest.fixture
def audited():
    return []


@pytest.fixture
def http(engine, queue, store, caller, audited):
    """A client of the API; the caller may be changed."""
    app = Flask("test")
    install(app, admission=Admission(lambda token: caller, everyone=caller))
    tags = TagDirectory(engine, lambda: 0.0)
    app.register_blueprint(
        exports.blueprint(queue, store, tags.find, lambda *what, **more: audited.append((what, more)))
    )
    return app.test_client()


@pytest.fixture
def start_worker(postgres, tmp_path):
    """start_worker(*options) -> the process; killed after the test."""
    started = []
    environment = {
        **os.environ,
        "PYTHONPATH": str(repo_root()),
        "PLUMBLINE_SLOT": "blue",
        "PLUMBLINE_VERSION": "1.2.3",
        "PLUMBLINE_ETCD_URL": "http://127.0.0.1:9",  # nobody: only snowflakes need it
        "PLUMBLINE_DATABASE_URL": postgres.url,
        "PLUMBLINE_RUNTIME_DIR": str(tmp_path / "run"),
        "PLUMBLINE_JOBS_DIR": str(tmp_path / "exports"),
    }

    def new(*options: str, action: str = "work", **more: str) -> subprocess.Popen:
        if action == "work":
            options = (f"--lease-s={LEASE_S}", "--poll-s=0.5", *options)
        process = subprocess.Popen(
            [sys.executable, "-m", "app.jobs", action, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment | more,
        )
        started.append(process)
        return process

    yield new
    for process in started:
        process.kill()
        process.communicate()
