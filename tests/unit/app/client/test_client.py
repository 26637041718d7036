"""The client over real connections to the service's own endpoints."""

import ast
import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest
import stamina

from app.client import IdsClient, IdsError, NotReachedError, RefusedError
from app.server import problems
from infra.paths import repo_root

from .conftest import KEY, unavailable


def leases(service):
    return [path for path in service.asked if path.startswith("/v1/leases")]


def test_many_ids_cost_one_lease_and_one_that_is_fetched_ahead(service, connect):
    client = connect(lease_size=1_000)
    assert [client.next_id("orders") for _ in range(1_000)] == list(range(1, 1_001))
    client._background.shutdown(wait=True)
    assert len(leases(service)) == 2


def test_the_next_lease_is_fetched_when_a_tenth_is_used_and_not_before(service, connect):
    client = connect(lease_size=1_000)
    for _ in range(99):
        client.next_id("orders")
    assert len(leases(service)) == 1
    for _ in range(2):
        client.next_id("orders")
    client._background.shutdown(wait=True)
    assert len(leases(service)) == 2


def test_no_id_twice_for_threads_that_share_a_client(service, connect):
    client = connect(lease_size=97)
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: [client.next_id("orders") for _ in range(500)], range(8)))
    ids = [one for some in drawn for one in some]
    assert len(ids) == len(set(ids)) == 4_000


def test_callers_never_wait_for_a_fetch_while_ids_are_held(service, connect):
    client = connect(lease_size=100)
    assert client.next_id("orders") == 1
    service.gate.clear()
    started = time.monotonic()
    assert [client.next_id("orders") for _ in range(99)] == list(range(2, 101))
    assert time.monotonic() - started < 2
    service.gate.set()
    assert client.next_id("orders") == 101


def test_held_ids_outlive_the_service_and_then_the_error_is_clear(service, connect):
    client = connect(lease_size=50, attempts=1)
    assert client.next_id("orders") == 1
    service.refusals += [unavailable()] * 100
    assert [client.next_id("orders") for _ in range(49)] == list(range(2, 51))
    with pytest.raises(RefusedError) as caught:
        client.next_id("orders")
    assert (caught.value.slug, caught.value.status, caught.value.may_pass) == ("ids-unavailable", 503, True)
    assert caught.value.request_id
    service.refusals.clear()
    assert client.next_id("orders") == 51


def test_a_tag_that_can_not_be_leased_is_served_in_small_batches(service, connect):
    client = connect(small_batch=10)
    assert [client.next_id("events") for _ in range(25)] == list(range(1, 26))
    assert len(leases(service)) == 1
    found = client.next_id("uuids")
    assert isinstance(found, uuid.UUID)
    assert found.version == 7


def test_a_batch_of_any_size_is_one_list(service, connect):
    client = connect()
    assert client.batch("orders", 250_000) == list(range(1, 250_001))
    assert len(service.asked) == 3
    assert all(isinstance(one, uuid.UUID) for one in client.batch("uuids", 3))
    with pytest.raises(ValueError, match="count: 0 is not allowed"):
        client.batch("orders", 0)


def test_an_id_tells_how_it_was_made(connect):
    told = connect().decode(1 << 60)
    assert (told.id, told.kind, told.algorithm) == (str(1 << 60), "int64", "snowflake")
    assert told.time.tzinfo is UTC or told.time.utcoffset().total_seconds() == 0
    assert connect().decode(uuid.UUID(int=7 << 76 | 2 << 62)).algorithm == "uuid7"
    with pytest.raises(RefusedError) as caught:
        connect().decode("not an/id?")
    assert caught.value.slug in ("bad-id", "not-found")


def test_a_refusal_that_may_pass_is_tried_again_after_the_time_it_asks_for(service, connect):
    service.refusals += [problems.rate_limited(1), unavailable()]
    started = time.monotonic()
    assert connect().batch("orders", 2) == [1, 2]
    assert 1 <= time.monotonic() - started < 5
    assert len(service.asked) == 3


@pytest.mark.parametrize("refusal", [problems.unknown_tag("orders"), problems.of("tag-exhausted", "at max")])
def test_a_refusal_that_will_not_pass_is_told_at_once(service, connect, refusal):
    service.refusals.append(refusal)
    with pytest.raises(RefusedError) as caught:
        connect().batch("orders", 1)
    assert caught.value.slug == refusal.slug
    assert len(service.asked) == 1


def test_a_wait_that_is_longer_than_the_patience_is_not_begun(service, connect):
    service.refusals.append(problems.rate_limited(3_600))
    with pytest.raises(RefusedError) as caught:
        connect(patience_s=5).batch("orders", 1)
    assert caught.value.retry_after_s == 3_600


def test_tries_are_bounded(service, connect):
    service.refusals += [unavailable()] * 10
    with stamina.set_testing(True, attempts=3), pytest.raises(RefusedError):
        connect().batch("orders", 1)
    assert len(service.asked) == 3


def test_a_wrong_key_is_told_at_once(service, connect):
    with pytest.raises(RefusedError) as caught:
        connect(key="plk_wrong").next_id("orders")
    assert (caught.value.status, caught.value.slug) == (401, "key-unknown")


def test_a_service_that_is_not_there_is_told_after_the_tries(connect):
    with stamina.set_testing(True, attempts=2), pytest.raises(NotReachedError, match="ConnectError"):
        connect(url="http://127.0.0.1:9").next_id("orders")


def test_an_answer_that_is_not_the_services_keeps_its_status(connect):
    import http.server

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_error(502, "no backend")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(RefusedError) as caught:
            connect(url=f"http://127.0.0.1:{server.server_port}").batch("orders", 1)
        thread.join()
    assert (caught.value.status, caught.value.slug) == (502, "http-502")


def test_a_closed_client_says_so(connect):
    client = connect()
    client.close()
    with pytest.raises(IdsError, match="closed"):
        client.next_id("orders")


def test_a_forked_child_never_hands_out_its_parents_ids(service):
    program = f"""
import os
from app.client import IdsClient
with IdsClient({service.url!r}, {KEY!r}, lease_size=20) as client:
    mine = [client.next_id("orders") for _ in range(10)]
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, repr([client.next_id("orders") for _ in range(30)]).encode())
        os._exit(0)
    mine += [client.next_id("orders") for _ in range(30)]
    os.wait()
    print([mine, eval(os.read(reading, 10_000))])
"""
    environment = {**os.environ, "PYTHONPATH": str(repo_root())}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=True,
    )
    parents, childs = ast.literal_eval(run.stdout)
    assert len(set(parents)) == 40
    assert len(set(childs)) == 30
    assert not set(parents) & set(childs)


def test_the_client_needs_nothing_of_the_service():
    """So that it can be given to others alone."""
    program = "import sys, app.client; print([n for n in sys.modules if n.startswith('app.')])"
    environment = {**os.environ, "PYTHONPATH": str(repo_root())}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    imported = ast.literal_eval(run.stdout)
    assert imported
    assert all(name.startswith("app.client") for name in imported)


def test_the_documented_example_works_as_it_is_written(service):
    text = Path(repo_root() / "docs" / "sdk.md").read_text()
    code = "\n".join(block.split("```")[0] for block in text.split("```python\n")[1:])
    told = []
    environment = {"IDS_URL": service.url, "IDS_KEY": KEY}
    namespace = {"print": lambda *what: told.append(what)}
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        exec(code, namespace)
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
    assert told[0] == (1, 2)
    assert len(service.asked) > 3
    assert isinstance(namespace["client"], IdsClient)
