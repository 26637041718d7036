"""The application over a runtime without a database."""

import threading
import time
from types import SimpleNamespace

import pytest

from app.faults.config import ReleaseConfig
from app.faults.injector import Causes, Injector
from app.ids.segment import DoubleBuffer
from app.ids.snowflake import Snowflake
from app.issuing import Issuer
from app.policies import DependencyFailedError, Policy
from app.server.application import create_app
from app.server.metrics import Metrics
from app.storage.tags import Tag
from app.tag_config import TagConfig

TAGS = {
    name: Tag(id_, 1, "default", "default", name, TagConfig(algorithm=algorithm, step=1000))
    for id_, name, algorithm in ((1, "orders", "segment"), (2, "events", "snowflake"))
}


class Downstream:
    """The policy client's two calls, answered here."""

    def __init__(self) -> None:
        self.policy, self.asked = Policy(), []

    def of(self, tag: str) -> Policy:
        return self.policy

    def ask(self, tag: str, fault: str) -> Policy:
        self.asked.append(fault)
        if fault == "error":
            raise DependencyFailedError("as asked")
        return self.policy


class Service:
    """A client of the application and the parts behind it."""

    def __init__(self, faults=(), draw=lambda: 0.0) -> None:
        self.next_id, lock = 1, threading.Lock()
        self.store_broken = False

        def load(at_least: int) -> range:
            if self.store_broken:
                raise ConnectionError("no database")
            with lock:
                first, self.next_id = self.next_id, self.next_id + max(at_least, 1000)
            return range(first, self.next_id)

        self.metrics = Metrics("green", "1.2.3")
        self.downstream = Downstream()
        release = ReleaseConfig.model_validate({"faults": list(faults)})
        self.metrics.faults_active((f.kind, f.mode, f.share) for f in release.faults)
        self.computed: list[int] = []
        causes = Causes(self.computed.append, self.computed.append, self.downstream.ask)
        snowflake = Snowflake(
            datacenter=0, worker=1, clock_ms=lambda: time.time_ns() // 1_000_000, sleep=time.sleep
        )
        self.runtime = SimpleNamespace(
            settings=SimpleNamespace(slot="green", version="1.2.3"),
            metrics=self.metrics,
            tags=SimpleNamespace(find=lambda workspace_id, name: TAGS.get(name)),
            policies=self.downstream,
            injector=Injector(release.faults, causes, draw, self.metrics.fault_struck),
            issuer=Issuer(snowflake, lambda tag: DoubleBuffer(load, lambda work: work(), time.monotonic)),
            worker=1,
            not_ready_because=lambda: None,
        )
        self.http = create_app(self.runtime).test_client()

    def metric(self, line: str) -> float:
        text = self.http.get("/metrics").text
        return next(float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line))


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def service_with():
    return Service
