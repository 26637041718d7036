"""The adapter against a real Prometheus that scrapes a real exporter every second."""

import subprocess
import time
import uuid

import pytest

from release.metrics.prometheus import Prometheus
from release.sample import LATENCY_EDGES_S, NoData, Sample, Snapshot, Unreachable, difference
from tools.setup.images import reference

pytestmark = pytest.mark.integration

CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: edge_log
    static_configs: [{targets: ["127.0.0.1:3903"], labels: {host: edge1}}]
"""
SERVE = "mkdir -p /www && exec python3 -m http.server 3903 --bind 127.0.0.1 --directory /www"


def docker(*arguments, check=True, **more):
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=check, timeout=60, **more
    )


def until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    return pytest.fail(f"not within {timeout_s} s")


class Stack:
    """Prometheus in one container, and in its network a container that serves a page of metrics."""

    def __init__(self):
        unique = uuid.uuid4().hex[:8]
        self.prometheus, self.exporter = (
            f"plumbline-test-{kind}-{unique}" for kind in ("prometheus", "edge")
        )

    def start(self):
        label = "--label=plumbline.test=metrics"
        docker(
            "run", "--detach", "--name", self.prometheus, label, "--publish=127.0.0.1:0:9090",
            "--env=PROMETHEUS_CONFIG=" + CONFIG, reference("prometheus"),
        )  # fmt: skip
        docker(
            "run", "--detach", "--name", self.exporter, label, f"--network=container:{self.prometheus}",
            "--entrypoint=sh", reference("host"), "-c", SERVE,
        )  # fmt: skip
        self.show(ok=0)
        return until(lambda: self.seen() if isinstance(self.seen(), Snapshot) else None)

    def remove(self):
        docker("rm", "--force", "--volumes", self.exporter, self.prometheus, check=False)

    def source(self):
        port = docker("port", self.prometheus, "9090/tcp").stdout.strip().rsplit(":", 1)[1]
        return Prometheus(f"http://127.0.0.1:{port}", ["edge1"], 1.0)

    def seen(self):
        return self.source().snapshot(time.time())

    def show(self, ok, errors=0, slow=0):
        """The exporter's page from now on: `slow` of the green requests took longer than any edge."""
        total = ok + errors
        buckets = [
            f'edge_request_duration_seconds_bucket{{slot="green",le="{edge}"}} {total - slow}'
            for edge in LATENCY_EDGES_S
        ]
        page = [
            f'edge_requests_total{{slot="green",outcome="ok"}} {ok}',
            f'edge_requests_total{{slot="green",outcome="error"}} {errors}',
            *buckets,
            f'edge_request_duration_seconds_bucket{{slot="green",le="+Inf"}} {total}',
        ]
        write = "mkdir -p /www && cat > /www/next && mv /www/next /www/metrics"
        docker("exec", "-i", self.exporter, "sh", "-c", write, input="\n".join(page) + "\n")

    def counting(self, requests):
        """A snapshot in which green has so many requests."""

        def there():
            seen = self.seen()
            right = isinstance(seen, Snapshot) and seen.hosts["edge1"].slots["green"].requests == requests
            return seen if right else None

        return until(there)


@pytest.fixture(scope="module")
def running():
    stack = Stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def stack(running):
    docker("start", running.prometheus, running.exporter)
    return running


def test_differences_of_real_counters_are_exact(stack):
    stack.show(ok=100, errors=1, slow=4)
    before = stack.counting(101)
    stack.show(ok=160, errors=3, slow=9)
    sample = difference(before, stack.counting(163))
    assert isinstance(sample, Sample)
    green = sample.slots["green"]
    assert (green.requests, green.errors, green.timed, green.slower_than(0.5)) == (62, 2, 62, 5)
    assert sample.slots["blue"].requests == 0


def test_an_exporter_that_restarted_counts_from_zero(stack):
    stack.show(ok=500)
    before = stack.counting(500)
    stack.show(ok=20)
    sample = difference(before, stack.counting(20))
    assert isinstance(sample, Sample)
    assert (sample.slots["green"].requests, sample.reset_hosts) == (20, ("edge1",))


def test_an_exporter_that_is_gone_is_no_data(stack):
    docker("stop", "--time=0", stack.exporter)
    seen = until(lambda: seen if isinstance(seen := stack.seen(), NoData) else None)
    assert seen.why.startswith("edge1: ")


def test_history_has_every_second_and_agrees_with_looking(stack):
    stack.show(ok=1000)
    stack.counting(1000)
    stack.show(ok=1040)
    last = stack.counting(1040)
    history = stack.source().history(last.at, 3.0, 1.0)
    assert isinstance(history, list)
    assert history[-1] == last
    assert len({snapshot.at for snapshot in history}) >= 3


def test_a_stopped_prometheus_could_not_be_asked_and_loses_no_request(stack):
    stack.show(ok=2000)
    before = stack.counting(2000)
    source = stack.source()
    docker("stop", "--time=0", stack.prometheus)
    assert isinstance(source.snapshot(time.time()), Unreachable)
    docker("start", stack.prometheus)
    docker("restart", "--time=0", stack.exporter)  # it lives in Prometheus' network, which is a new one
    stack.show(ok=2750)
    sample = difference(before, stack.counting(2750))
    assert isinstance(sample, Sample)
    assert sample.slots["green"].requests == 750
