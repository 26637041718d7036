"""One Postgres for this folder's tests, a database of its own for each."""

import socket
import subprocess
import time
import uuid
from dataclasses import dataclass

import psycopg
import pytest

from app.migrate import upgrade
from app.storage import database
from tools.setup.images import reference

USER = "ids"
PASSWORD = "not-a-secret"


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check, timeout=60)
    return done.stdout.strip()


@dataclass(frozen=True)
class Server:
    """A running Postgres in a container; the port stays the same over a restart."""

    name: str
    port: int

    def url(self, name: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def new(self, template: str = "template1") -> str:
        """A fresh database's URL."""
        name = f"test_{uuid.uuid4().hex[:8]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url("ids"), autocommit=True) as connection:
            connection.execute(statement)

    def restart(self) -> None:
        docker("restart", "--time", "10", self.name)
        self.wait()

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def server():
    name, port = f"plumbline-test-postgres-{uuid.uuid4().hex[:8]}", _free_port()
    environment = [f"--env=POSTGRES_PASSWORD={PASSWORD}", f"--env=POSTGRES_USER={USER}"]
    try:
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=app",
            f"--publish=127.0.0.1:{port}:5432", *environment, "--env=POSTGRES_DB=ids",
            reference("postgres"), "-c", "fsync=off",
        )  # fmt: skip
        made = Server(name, port)
        made.wait()
        # As the platform makes it, the service's user may make tables, not databases; tests need more.
        docker("exec", name, "psql", "--username=postgres", "-c", f"ALTER ROLE {USER} CREATEDB")
        yield made
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def empty_url(server) -> str:
    """A database without a table."""
    return server.new()


@pytest.fixture(scope="session")
def migrated(server) -> str:
    """The name of a database at the newest schema, to copy from."""
    url = server.new()
    engine = database.connect(url)
    upgrade(engine)
    engine.dispose()
    return url.rpartition("/")[2]


@pytest.fixture
def url(server, migrated) -> str:
    """A database at the newest schema, with the seeds only."""
    return server.new(migrated)


@pytest.fixture
def engine(url):
    made = database.connect(url, pool_min=2, pool_max=16)
    yield made
    made.dispose()


@pytest.fixture
def empty(empty_url):
    made = database.connect(empty_url)
    yield made
    made.dispose()
