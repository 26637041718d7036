"""The service's own endpoints on a loopback port, over tags kept in memory."""

import threading
from types import SimpleNamespace

import pytest
from flask import Flask, g, request
from werkzeug.serving import make_server

from app.auth.principal import AuthError
from app.client import IdsClient
from app.ids.model import Batch
from app.issuing import Issuing
from app.server import problems
from app.server.admission import Admission
from app.server.api import issuing as endpoints
from app.server.operation import install
from app.tag_config import TagConfig

KEY = "plk_" + "k" * 43


class Service:
    """`refusals`: problems that the next requests are answered with. `asked`: the paths of all requests."""

    def __init__(self) -> None:
        self.refusals, self.asked, self.next_id = [], [], 1
        self._lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        algorithms = {"orders": "segment", "events": "snowflake", "uuids": "uuid7"}
        tags = {
            name: SimpleNamespace(name=name, config=TagConfig(algorithm=algorithm))
            for name, algorithm in algorithms.items()
        }
        issuing = Issuing(
            tags=SimpleNamespace(find=lambda workspace, name: tags.get(name)),
            router_for=lambda tag: SimpleNamespace(batch=lambda count: self._draw(tag, count)),
            ranges=lambda tag, count: [self._take(count)],
            policies=SimpleNamespace(of=lambda tag: SimpleNamespace(enabled=True, max_count=100_000)),
            injector=SimpleNamespace(strike=lambda tag, touched: None),
        )
        app = Flask("test")
        install(app, admission=Admission(self._authenticate))
        app.register_blueprint(endpoints.blueprint(issuing))

        @app.before_request
        def refuse() -> None:
            self.asked.append(request.full_path)
            assert self.gate.wait(10)
            g.refused = self.refusals.pop(0) if self.refusals else None
            if g.refused:
                raise g.refused

        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def _authenticate(self, token):
        if token != KEY:
            raise AuthError("key-unknown")
        return SimpleNamespace(key_id=1, workspace_id=1, scopes=frozenset({"issue"}), name="test")

    def _take(self, count):
        with self._lock:
            first, self.next_id = self.next_id, self.next_id + count
        return range(first, first + count)

    def _draw(self, tag, count):
        if tag.name == "uuids":
            octets = b"".join((7 << 76 | 2 << 62 | one).to_bytes(16, "big") for one in self._take(count))
            return "uuid7", Batch("uuid", (), octets)
        return tag.config.algorithm, Batch("int64", (self._take(count),))


def unavailable(retry_after_s=None):
    return problems.unavailable("ids-unavailable", "no range", retry_after_s)


@pytest.fixture
def service():
    made = Service()
    yield made
    made.gate.set()
    made.stop()


@pytest.fixture
def connect(service):
    """connect(...) -> a client; closed after the test."""
    clients = []

    def new(key=KEY, url=None, **more) -> IdsClient:
        clients.append(IdsClient(url or service.url, key, **more))
        return clients[-1]

    yield new
    service.gate.set()
    for client in clients:
        client.close()
