"""A real etcd that can be stopped and started with its data, and processes that hold worker ids."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from app.coordination.etcd import Etcd
from app.coordination.store import Delete, EtcdAwayError
from infra.paths import repo_root
from tests.integration.app.conftest import docker, until
from tools.setup.images import reference

TTL_S = 3


class RealEtcd:
    """One container with a fixed port, so that it's found again after a restart."""

    def __init__(self, name: str) -> None:
        self.name = name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.urls = f"http://127.0.0.1:{self.port}"
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=app",
            f"--publish=127.0.0.1:{self.port}:2379", reference("etcd"),
        )  # fmt: skip
        self.client = Etcd(self.urls)
        self.wait()

    def wait(self) -> None:
        until(self.answers, 60, "etcd ready")

    def answers(self) -> bool:
        try:
            self.client.list("/ready")
        except EtcdAwayError:
            return False
        return True

    def kill(self) -> None:
        docker("kill", self.name)

    def start(self) -> None:
        docker("start", self.name)
        self.wait()

    def workers(self) -> dict[int, str]:
        """Who holds which worker id."""
        entries, _ = self.client.list("/idgen/workers/0/")
        return {int(e.key.rpartition("/")[2]): json.loads(e.value)["holder"] for e in entries}


class Holder:
    """One process of `holder.py`."""

    def __init__(self, folder: Path, given: dict) -> None:
        self.log = folder / f"{given['name']}.log"
        environment = os.environ | {"PYTHONPATH": str(repo_root()), "PYTHONUNBUFFERED": "1"}
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("holder.py")), json.dumps(given)],
                stdout=out, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events()]

    def first(self, kind: str, timeout_s: float = 20, after: float = 0) -> dict:
        """The first event of a kind after a time."""

        def found():
            assert self.process.poll() is None or kind == "released", self.log.read_text()
            return next((e for e in self.events() if e["kind"] == kind and e["at"] >= after), None)

        return until(found, timeout_s, f"{kind}: {self.log.read_text()}")

    def worker(self) -> int:
        return self.first("acquired")["detail"]["worker"]

    def kill(self) -> float:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        return time.time()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def _etcd():
    name = f"plumbline-test-etcd-{uuid.uuid4().hex[:8]}"
    try:
        yield RealEtcd(name)
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def etcd(_etcd) -> RealEtcd:
    """A running etcd without a key."""
    if not _etcd.answers():
        _etcd.start()
    entries, _ = _etcd.client.list("/")
    for entry in entries:
        _etcd.client.transact({}, [Delete(entry.key)])
    return _etcd


@pytest.fixture
def hold(etcd, tmp_path):
    """hold(name, host, epochs=...) -> a Holder. At the end, no (worker, millisecond) may have two users."""
    started: list[Holder] = []
    used = tmp_path / "used"

    def new(name: str, host: str = "a", epochs: str = "") -> Holder:
        given = {
            "etcd": etcd.urls, "name": name, "directory": str(tmp_path / host), "ttl_s": TTL_S,
            "used": f"{used}-{name}", "epochs": epochs or str(tmp_path / "epochs.db"),
        }  # fmt: skip
        started.append(Holder(tmp_path, given))
        return started[-1]

    yield new
    for one in started:
        if one.process.poll() is None:
            one.kill()
    lines = {line for path in tmp_path.glob("used-*") for line in path.read_text().splitlines()}
    users = Counter((line.split()[0], line.split()[2]) for line in lines if len(line.split()) == 3)
    assert lines, "nothing was ever used"
    assert not [key for key, count in users.items() if count > 1]
