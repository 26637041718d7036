"""Two gunicorn processes of the real parts, with a real Postgres and policy service."""

import http.client
import json
import os
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.downstream import Server
from tests.integration.app.conftest import docker, until
from tests.unit.app.observing.collector import Collector
from tools.setup.images import reference

ROOT = Path(__file__).resolve().parents[4]


class Service:
    """gunicorn with two processes on a socket of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.log = directory / "log"
        metrics = directory / "metrics"
        metrics.mkdir()
        self._log = self.log.open("w")
        command = [sys.executable, "-m", "gunicorn", "--workers=2", "--worker-class=gthread", "--threads=4"]
        environment |= {"PATH": os.environ["PATH"], "RUNTIME_DIR": str(directory)}
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        self._process = subprocess.Popen(
            [*command, "--bind=127.0.0.1:0", "tests.integration.app.observing.serving:app"],
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.port = until(self._port, 30, "gunicorn listens")
        until(lambda: len(self.pids()) == 2, 30, "both processes answer")

    def _port(self) -> int | None:
        for line in self.log.read_text().splitlines():
            if "Listening at: http://127.0.0.1:" in line:
                return int(line.split("127.0.0.1:")[1].split()[0].rstrip('"}'))
        return None

    def call(self, method: str, path: str, body: object = None, **headers: str):
        """(status, headers, text) on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            headers = {"Authorization": "Bearer plk_x", "Content-Type": "application/json", **headers}
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def issue(self, **headers: str):
        return self.call("POST", "/v1/ids/orders", **headers)

    def pids(self) -> set[str]:
        """The processes that answer, asked by many at once: one alone may get every single request."""
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.issue(), range(48)))
        return {text for status, _, text in answers if status == 200}

    def metric(self, line: str) -> float:
        text = self.call("GET", "/metrics")[2]
        return next(float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line))

    def lines(self) -> list[dict]:
        found = []
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()


@pytest.fixture
def downstream():
    server = Server(("127.0.0.1", 0), faults_allowed=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def redis_ip(containers):
    name = containers("redis")
    docker(
        "run", "--detach", "--name", name, "--label", "plumbline.test=app", "--entrypoint", "redis-server",
        reference("redis"), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
    )  # fmt: skip
    until(lambda: "PONG" in docker("exec", name, "redis-cli", "ping", check=False).stdout, 20, "Redis")
    return docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
def serve(postgres, downstream, tmp_path):
    running = []

    def begin(**environment: str) -> Service:
        directory = tmp_path / uuid.uuid4().hex[:8]
        directory.mkdir()
        base = {"DATABASE_URL": postgres.url, "DOWNSTREAM_URL": downstream}
        running.append(Service(directory, base | environment))
        return running[-1]

    yield begin
    for service in running:
        service.stop()
