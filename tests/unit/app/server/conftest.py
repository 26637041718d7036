"""The whole application over real algorithms and fakes of everything outside the process."""

import os
import time
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.auth.principal import AuthError, Principal
from app.coordination.lease import WorkerIdsExhaustedError
from app.ids.model import Health, IdsUnavailableError
from app.ids.router import Router
from app.ids.segment import DoubleBuffer
from app.ids.snowflake import Snowflake
from app.ids.uuids import Uuid4, Uuid7
from app.issuing import Issuing
from app.observing.metrics import Metrics
from app.policies import DependencyFailedError, Policy
from app.server.admission import Admission
from app.server.application import create_app
from app.server.problem_kinds import KINDS
from app.storage.segments import SegmentExhaustedError
from app.storage.tags import Tag
from app.tag_config import TagConfig

ALL = frozenset({"issue", "read", "admin", "operate"})
KEYS = {
    "good": Principal(1, 1, "default", ALL, "good"),
    "reader": Principal(2, 1, "default", frozenset({"read"}), "reader"),
    "elsewhere": Principal(3, 2, "other", ALL, "elsewhere"),
    "busy": Principal(4, 1, "default", ALL, "busy"),
}
REFUSED = {"revoked": "key-revoked", "expired": "key-expired"}
CONFIGS = {
    "orders": TagConfig(algorithm="segment", step=1000),
    "events": TagConfig(algorithm="snowflake"),
    "documents": TagConfig(algorithm="uuid7"),
    "random": TagConfig(algorithm="uuid4"),
    "off": TagConfig(algorithm="snowflake", enabled=False),
    "small": TagConfig(algorithm="snowflake", max_count=5),
    "narrow": TagConfig(algorithm="snowflake", sequence_bits=10),
    "full": TagConfig(algorithm="segment", max_id=10, format="int64"),
    "crowded": TagConfig(algorithm="snowflake", format="int64"),
    "waits": TagConfig(algorithm="segment", format="int64"),
    "stuck": TagConfig(algorithm="snowflake", format="int64"),
    "broken": TagConfig(algorithm="snowflake"),
}
TAGS = {
    name: Tag(number, 1, "default", "default", name, config)
    for number, (name, config) in enumerate(CONFIGS.items(), start=1)
}


def authenticate(token):
    if token in REFUSED:
        raise AuthError(REFUSED[token])
    if token not in KEYS:
        raise AuthError("key-unknown")
    return KEYS[token]


class Failing:
    """An algorithm that can't, as a buffer can't when its store raised `cause`."""

    kind = "int64"

    def __init__(self, name, cause):
        self.name, self.cause = name, cause

    def batch(self, count):
        raise IdsUnavailableError("postgresql://host/secret does not answer") from self.cause

    def health(self):
        return Health(True)


class Mistaken:
    """A router with a mistake in it."""

    def batch(self, count):
        raise RuntimeError("secret")


def router(tag, *chain):
    return Router(chain, tag=tag, monotonic=time.monotonic, on_switch=lambda switch: None)


class World:
    """What the application meets, and what it told."""

    def __init__(self):
        self.next_id, self.asked, self.leased = 1, [], []
        self.policy, self.faults = Policy(), []
        self.not_ready = None
        snowflake = Snowflake(
            datacenter=0, worker=1, clock_ms=lambda: time.time_ns() // 1_000_000, sleep=time.sleep
        )
        uuid7 = Uuid7(clock_ms=lambda: time.time_ns() // 1_000_000, randomness=os.urandom)
        chains = {
            "segment": DoubleBuffer(self.load, lambda work: work(), time.monotonic),
            "snowflake": snowflake,
            "uuid7": uuid7,
            "uuid4": Uuid4(randomness=os.urandom),
        }
        self.routers = {tag.name: router(tag.name, chains[tag.config.algorithm]) for tag in TAGS.values()}
        used_up = Failing("segment", SegmentExhaustedError("tag full: used up"))
        stuck = Failing("snowflake", None)
        crowded = Failing("snowflake", WorkerIdsExhaustedError(0))
        self.routers |= {
            "full": router("full", used_up),
            "waits": router("waits", used_up, stuck),
            "crowded": router("crowded", crowded),
            "stuck": router("stuck", Failing("segment", ConnectionError("secret")), stuck),
            "broken": Mistaken(),
        }
        self.metrics = Metrics("green", "1.2.3", KINDS)
        self.wait_s = {KEYS["busy"].key_id: 2.3}
        self.issuing = Issuing(
            tags=self,
            router_for=lambda tag: self.routers[tag.name],
            ranges=self.ranges,
            policies=SimpleNamespace(of=lambda tag: self.policy),
            injector=self,
            observed=self.metrics.request,
            leased=self.metrics.issuing.leased,
        )
        self.admission = Admission(authenticate, lambda key_id: self.wait_s.get(key_id, 0.0))
        self.runtime = SimpleNamespace(
            settings=SimpleNamespace(slot="green", version="1.2.3"),
            metrics=self.metrics,
            issuing=self.issuing,
            admission=self.admission,
            traces=None,
            blueprints=(),
            worker=1,
            not_ready_because=lambda: self.not_ready,
        )
        self.app = create_app(self.runtime)
        self.http = self.app.test_client()

    def find(self, workspace_id, name):
        self.asked.append((workspace_id, name))
        return TAGS.get(name) if workspace_id == 1 else None

    def load(self, at_least):
        first, self.next_id = self.next_id, self.next_id + max(at_least, 1000)
        return range(first, self.next_id)

    def ranges(self, tag, count):
        if tag.name == "full":
            raise SegmentExhaustedError("tag full: used up")
        first, self.next_id = self.next_id, self.next_id + count
        return [range(first, first + count // 2), range(first + count // 2, self.next_id)][count < 2 :]

    def strike(self, tag, touched):
        for kind in self.faults:
            touched.append(kind)
            if kind == "dependency":
                raise DependencyFailedError("as asked")

    def post(self, path, key="good", **more):
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})} if key else {}
        return self.http.post(path, headers=headers, **more)

    def get(self, path, key="good"):
        return self.http.get(path, headers={"Authorization": f"Bearer {key}"} if key else {})

    def count(self, name, **labels):
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        raise LookupError(f"{name} {labels}")


@pytest.fixture
def world():
    return World()
