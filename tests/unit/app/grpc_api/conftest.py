"""The gRPC server on a loopback port over services made for the test, and a real client of it."""

import threading
from types import SimpleNamespace

import grpc
import pytest

from app.auth.principal import AuthError
from app.grpc_api.calls import Services
from app.grpc_api.ids_pb2_grpc import IdsStub
from app.grpc_api.server import GrpcServer
from app.ids.model import Batch
from app.server import problems
from app.server.admission import Admission

KEY = "plk_" + "k" * 43
MADE_MS = 1_735_689_600_001
WITH_KEY = (("authorization", f"Bearer {KEY}"),)


class World:
    """Services whose state a test may change while the server runs."""

    def __init__(self) -> None:
        self.next_id, self.wait_s, self.not_ready = 1, 0.0, None
        self._lock = threading.Lock()
        self.scopes, self.key_holds = frozenset({"issue"}), True
        self.counted, self.mistakes = [], []
        self.proceed = threading.Event()
        self.proceed.set()
        self.drawing = threading.Event()
        admission = Admission(self._authenticate, lambda key_id: self.wait_s)
        self.services = Services(
            admit=admission.admit,
            draw=self._draw,
            lease=lambda caller, tag, count: ("segment", Batch("int64", (range(1, 1 + (count or 1_000)),))),
            decode=self._decode,
            not_ready_because=lambda: self.not_ready,
            counted=lambda *call: self.counted.append(call[:2]),
            failed=lambda *call: self.mistakes.append(call),
        )

    def _authenticate(self, token):
        if token != KEY or not self.key_holds:
            raise AuthError("key-unknown")
        return SimpleNamespace(key_id=7, scopes=self.scopes)

    def _draw(self, caller, tag, count):
        if not 1 <= count <= 100_000:
            raise problems.bad_count(count, 100_000)
        self.drawing.set()
        assert self.proceed.wait(10)
        if tag == "uuids":
            return "uuid7", Batch("uuid", (), bytes(range(16)) * count)
        if tag == "broken":
            raise RuntimeError("the cause, for the log only")
        if tag == "away":
            raise problems.unavailable("ids-unavailable", "no range", 1.5)
        if tag != "orders":
            raise problems.unknown_tag(tag)
        with self._lock:
            first, self.next_id = self.next_id, self.next_id + count
        return "segment", Batch("int64", (range(first, first + count),))

    @staticmethod
    def _decode(caller, text, tag):
        if not text.isdigit():
            raise problems.of("bad-id", "not an ID")
        return {
            "id": text,
            "kind": "int64",
            "algorithm": "snowflake",
            "unix_ms": 1_735_689_600_001,
            "worker": 3,
        }


@pytest.fixture
def world():
    return World()


@pytest.fixture
def serve(world):
    """serve(...) -> a server that runs; stopped after the test."""
    servers = []

    def new(bind="127.0.0.1:0", **more) -> GrpcServer:
        server = GrpcServer(world.services, bind, **more)
        servers.append(server)
        server.start()
        return server

    yield new
    for server in servers:
        server.stop(0)


@pytest.fixture
def connect():
    """connect(server) -> a channel; closed after the test."""
    channels = []

    def new(server) -> grpc.Channel:
        channels.append(grpc.insecure_channel(server.bind.address))
        return channels[-1]

    yield new
    for channel in channels:
        channel.close()


@pytest.fixture
def stub(serve, connect):
    return IdsStub(connect(serve()))
