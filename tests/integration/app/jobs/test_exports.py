"""From the API over the database and a worker process to the file."""

import hashlib
import http.client
import json
import socket
import time

import numpy as np
import pytest
from sqlalchemy import text

from ..conftest import docker, until

pytestmark = pytest.mark.integration


def ask(http, **request):
    answer = http.post("/v1/exports", json=request)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/exports/{answer.json['id']}"
    return answer.headers["Location"]


def ended(http, location, timeout_s=90):
    # No state while the database is away.
    until(lambda: http.get(location).json.get("state") in ("done", "failed"), timeout_s, f"{location} ended")
    return http.get(location).json


def until_half_written(tmp_path):
    """Returns as soon as a worker has written something: ten million IDs take it less than a second."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for part in (tmp_path / "exports").glob("*.part"):
            if part.stat().st_size:
                return
        time.sleep(0.001)
    pytest.fail("no worker wrote anything within 30 s")


def numbers(octets: bytes):
    return np.frombuffer(octets, dtype=">i8")


def test_an_export_becomes_a_file_with_each_id_once(http, start_worker, audited):
    start_worker()
    location = ask(http, tag="orders", count=120_001)
    told = ended(http, location)
    assert (told["state"], told["progress"], told["attempts"], told["kind"]) == ("done", 1.0, 1, "int64")
    answer = http.get(told["content"])
    assert answer.content_type == "application/x-ndjson"
    assert len(answer.data) == told["size"] == int(answer.headers["Content-Length"])
    assert hashlib.sha256(answer.data).hexdigest() == told["sha256"] == answer.get_etag()[0]
    ids = [json.loads(line) for line in answer.data.splitlines()]
    assert len(ids) == len(set(ids)) == 120_001
    assert all(isinstance(one, str) for one in ids)
    assert audited[0][0] == ("export.create", location.rsplit("/", 1)[1], "ok")


def test_a_killed_worker_leaves_its_job_to_the_next_one_and_no_id_comes_twice(http, start_worker, tmp_path):
    first = start_worker()
    location = ask(http, tag="orders", count=10_000_000, format="octets")
    until_half_written(tmp_path)
    first.kill()
    first.wait()
    left = list((tmp_path / "exports").glob("*.part"))
    assert len(left) == 1
    assert http.get(location).json["state"] == "running"
    assert http.get(f"{location}/content").json["type"] == "/problems/export-not-done"
    start_worker()
    told = ended(http, location)
    assert (told["state"], told["attempts"]) == ("done", 2)
    ids = numbers(http.get(told["content"]).data)
    assert len(ids) == 10_000_000
    assert len(np.unique(ids)) == 10_000_000
    drawn_by_the_dead = numbers(left[0].read_bytes()[: left[0].stat().st_size // 8 * 8])
    assert len(drawn_by_the_dead) > 0
    assert not np.isin(drawn_by_the_dead, ids).any()


def test_a_stopping_worker_puts_its_job_back_and_the_attempt_does_not_count(http, start_worker, tmp_path):
    first = start_worker("--grace-s=0.1")
    location = ask(http, tag="orders", count=10_000_000, format="octets")
    until_half_written(tmp_path)
    first.terminate()
    assert first.wait(15) == 0
    assert http.get(location).json["state"] == "queued"
    assert list((tmp_path / "exports").iterdir()) == []
    start_worker()
    told = ended(http, location)
    assert (told["state"], told["attempts"]) == ("done", 1)


def test_uuids_are_exported_too_and_a_plugins_tag_fails_with_a_reason(http, start_worker, new_tag):
    new_tag("uuids", "uuid7")
    new_tag("plugged", "words")
    start_worker()
    told = ended(http, ask(http, tag="uuids", count=70_000, format="octets"))
    assert (told["state"], told["kind"], told["size"]) == ("done", "uuid", 70_000 * 16)
    content = http.get(told["content"]).data
    assert len({content[at : at + 16] for at in range(0, len(content), 16)}) == 70_000
    told = ended(http, ask(http, tag="plugged", count=10))
    assert told["state"] == "failed"
    assert "'words'" in told["error"]


def test_snowflakes_wait_for_a_worker_id_and_fail_when_none_comes(http, start_worker):
    start_worker()
    location = ask(http, tag="events", count=10)
    until(lambda: http.get(location).json["error"], 30, "the first attempt failed")
    told = http.get(location).json
    assert (told["state"], told["attempts"]) == ("queued", 1)
    assert told["error"] == "no ID could be drawn (NotHeldError)"


def test_snowflakes_are_exported_under_a_worker_id_of_the_workers_own(http, start_worker, etcd):
    worker = start_worker(PLUMBLINE_ETCD_URL=etcd)
    told = ended(http, ask(http, tag="events", count=200_000, format="octets"))
    assert (told["state"], told["error"]) == ("done", None)
    ids = numbers(http.get(told["content"]).data)
    assert len(np.unique(ids)) == 200_000
    assert ids.min() >= 1 << 56
    worker.terminate()
    assert worker.wait(15) == 0


def test_jobs_wait_while_the_database_is_away_and_go_on_when_it_is_back(http, start_worker, postgres):
    worker = start_worker()
    assert ended(http, ask(http, tag="orders", count=10))["state"] == "done"
    location = ask(http, tag="orders", count=3_000_000)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ids'"
    docker("exec", postgres.name, "psql", "-U", "postgres", "-d", "postgres", "-c", end)
    assert ended(http, location)["state"] == "done"
    assert worker.poll() is None


def test_a_worker_tells_how_it_is(http, start_worker, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    worker = start_worker(f"--metrics=127.0.0.1:{port}")
    ended(http, ask(http, tag="orders", count=1_000))
    checked = start_worker(action="check")
    assert (checked.wait(20), "was well" in checked.stdout.read()) == (0, True)
    connection = http_get(port, "/metrics")
    for line in (
        'idgen_jobs_ended_total{result="done"} 1', 'idgen_jobs_ended_total{result="failed"} 0',
        "idgen_jobs_ids_total 1000", "idgen_jobs_working 0", 'idgen_jobs{state="done"} 1',
    ):  # fmt: skip
        assert line in connection[1].splitlines()
    assert http_get(port, "/healthz")[0] == 200
    assert http_get(port, "/else")[0] == 404
    worker.terminate()
    worker.wait(15)
    checked = start_worker(action="check")
    assert (checked.wait(20), "is not there" in checked.stdout.read()) == (1, True)


def http_get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_worker_without_a_directory_is_told_which_setting_is_missing(start_worker):
    for given in ("", "exports"):
        worker = start_worker(PLUMBLINE_JOBS_DIR=given)
        assert (worker.wait(20), "PLUMBLINE_JOBS_DIR" in worker.stdout.read()) == (2, True)


@pytest.mark.parametrize(
    ("request_", "slug"),
    [
        ({"tag": "orders", "count": 0}, "bad-request"),
        ({"tag": "orders", "count": 10_000_001}, "bad-request"),
        ({"tag": "orders", "count": "5"}, "bad-request"),
        ({"tag": "orders", "count": 5, "format": "xml"}, "bad-request"),
        ({"tag": "orders", "count": 5, "else": 1}, "bad-request"),
        ({"tag": "nobody", "count": 5}, "unknown-tag"),
    ],
)
def test_a_wrong_request_queues_nothing(http, queue, request_, slug):
    answer = http.post("/v1/exports", json=request_)
    assert answer.json["type"] == f"/problems/{slug}"
    assert queue.counts()["queued"] == 0


def test_nobody_sees_the_export_of_another_workspace(http, caller):
    location = ask(http, tag="orders", count=5)
    assert http.get(location).status_code == 200
    caller.workspace_id += 1
    for path in (location, f"{location}/content", "/v1/exports/not-an-id"):
        assert http.get(path).json["type"] == "/problems/not-found"


def test_a_file_that_is_gone_is_told_apart_from_one_that_never_was(http, start_worker, store):
    start_worker()
    told = ended(http, ask(http, tag="orders", count=5))
    for path in store._directory.iterdir():
        path.unlink()
    assert http.get(told["content"]).json["type"] == "/problems/export-gone"


def test_more_exports_than_allowed_are_refused_with_a_time(http, engine):
    one = ask(http, tag="orders", count=5).rsplit("/", 1)[1]
    copies = (
        "INSERT INTO jobs (id, workspace_id, kind, state, request) SELECT gen_random_uuid(), workspace_id, "
        "kind, state, request FROM jobs, generate_series(1, 99) WHERE id = :one"
    )
    with engine.begin() as connection:
        connection.execute(text(copies), {"one": one})
    answer = http.post("/v1/exports", json={"tag": "orders", "count": 5})
    assert answer.json["type"] == "/problems/too-many-exports"
    assert answer.headers["Retry-After"] == "10"
