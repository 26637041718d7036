"""Issuing, leasing and decoding over HTTP, and each kind of bad input."""

import json
import struct
import uuid

import pytest

from app.ids.layout import Layout, Parts
from app.policies import Policy
from app.server.problem_kinds import KINDS


def slug_of(answer):
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.json["trace_id"] in answer.headers["traceparent"]
    return answer.json["type"].removeprefix("/problems/")


@pytest.mark.parametrize("tag", ["orders", "events"])
def test_every_form_carries_the_ids_in_the_order_issued(world, tag):
    path = f"/v1/ids/{tag}?count=1500"
    as_json = world.post(path).json["ids"]
    lines = world.post(path, headers={"Accept": "application/x-ndjson"})
    octets = world.post(path, headers={"Accept": "application/octet-stream"})
    drawn = [
        [int(value) for value in as_json],
        [int(json.loads(line)) for line in lines.text.splitlines()],
        list(struct.unpack(">1500q", octets.data)),
    ]
    everything = [value for ids in drawn for value in ids]
    assert len(everything) == 4500
    assert everything == sorted(set(everything))
    for answer in (lines, octets):
        assert answer.headers["X-Id-Algorithm"] == world.post(path).json["algorithm"]
        assert answer.headers["X-Id-Kind"] == "int64"


@pytest.mark.parametrize(("tag", "version"), [("documents", 7), ("random", 4)])
def test_uuids_come_as_text_and_as_sixteen_octets(world, tag, version):
    texts = world.post(f"/v1/ids/{tag}?count=3").json["ids"]
    octets = world.post(f"/v1/ids/{tag}?count=3", headers={"Accept": "application/octet-stream"})
    assert octets.headers["X-Id-Kind"] == "uuid"
    found = [uuid.UUID(text) for text in texts]
    found += [uuid.UUID(bytes=octets.data[at : at + 16]) for at in (0, 16, 32)]
    assert len(set(found)) == 6
    assert {one.version for one in found} == {version}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, application/x-ndjson;q=0.5, */*;q=0.1", "application/x-ndjson"),
        ("application/octet-stream, application/json;q=0.9", "application/octet-stream"),
        ("application/json;q=0, */*", "application/x-ndjson"),
    ],
)
def test_the_form_is_the_one_accepted_most(world, accept, content_type):
    headers = {} if accept is None else {"Accept": accept}
    assert world.post("/v1/ids/orders", headers=headers).content_type == content_type


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0"])
def test_a_form_that_does_not_exist_is_406_and_nothing_is_issued(world, accept):
    answer = world.post("/v1/ids/orders", headers={"Accept": accept})
    assert (answer.status_code, slug_of(answer)) == (406, "not-acceptable")
    assert "application/x-ndjson" in answer.json["detail"]
    assert world.asked == []


BAD_COUNTS = [
    "0",
    "-1",
    "100001",
    "9" * 30,
    "9" * 3000,
    "x",
    "",
    "1.5",
    "1e2",
    "%201",
    "%C2%B2",
    "+1",
    "0x1",
    "1_0",
]


@pytest.mark.parametrize("count", BAD_COUNTS)
def test_a_bad_count_is_refused_counted_and_nothing_is_issued(world, count):
    answer = world.post(f"/v1/ids/orders?count={count}")
    assert (answer.status_code, slug_of(answer)) == (400, "bad-count")
    assert "from 1 to 100000" in answer.json["detail"]
    assert (world.asked, world.next_id) == ([], 1)
    assert world.count("idgen_problems_total", slug="bad-count") == 1
    assert world.count("idgen_generate_requests_total", algorithm="none", outcome="refused") == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [("n=5", "'n': unknown; allowed: count"), ("count=1&count=2", "more than once"), ("&count=0", "")],
)
def test_a_wrong_query_never_means_one_id(world, query, told):
    answer = world.post(f"/v1/ids/orders?{query}")
    assert slug_of(answer) in ("bad-request", "bad-count")
    assert told in answer.json["detail"]
    assert world.asked == []


def problem_cases():
    """Each kind of bad input: how it is met, and the problem."""
    return {
        "unknown tag": ("/v1/ids/nope", "good", 404, "unknown-tag"),
        "no tag's name": ("/v1/ids/a%20b", "good", 404, "unknown-tag"),
        "another workspace's tag": ("/v1/ids/orders", "elsewhere", 404, "unknown-tag"),
        "missing key": ("/v1/ids/orders", None, 401, "key-missing"),
        "wrong key": ("/v1/ids/orders", "plk_wrong", 401, "key-unknown"),
        "revoked key": ("/v1/ids/orders", "revoked", 401, "key-revoked"),
        "expired key": ("/v1/ids/orders", "expired", 401, "key-expired"),
        "key of another scope": ("/v1/ids/orders", "reader", 403, "scope-missing"),
        "over the limit": ("/v1/ids/orders", "busy", 429, "rate-limited"),
        "tag switched off": ("/v1/ids/off", "good", 403, "tag-disabled"),
        "more than the tag allows": ("/v1/ids/small?count=6", "good", 400, "bad-count"),
        "maximum reached": ("/v1/ids/full", "good", 409, "tag-exhausted"),
        "maximum reached, leasing": ("/v1/leases/full?count=5", "good", 409, "tag-exhausted"),
        "maximum reached, another may work again": ("/v1/ids/waits", "good", 503, "ids-unavailable"),
        "worker ids taken": ("/v1/ids/crowded", "good", 503, "worker-ids-exhausted"),
        "nothing can issue": ("/v1/ids/stuck", "good", 503, "ids-unavailable"),
        "a mistake of ours": ("/v1/ids/broken", "good", 500, "internal-error"),
        "lease of another algorithm": ("/v1/leases/events", "good", 409, "lease-not-possible"),
        "lease too large": ("/v1/leases/orders?count=10000001", "good", 400, "bad-count"),
        "lease of nothing": ("/v1/leases/orders?count=0", "good", 400, "bad-count"),
        "no such path": ("/v1/id/orders", "good", 404, "not-found"),
    }


@pytest.mark.parametrize(("path", "key", "status", "slug"), problem_cases().values(), ids=problem_cases())
def test_each_kind_of_bad_input_has_its_own_problem_and_counts(world, path, key, status, slug):
    answer = world.post(path, key)
    assert (answer.status_code, slug_of(answer)) == (status, slug)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert "secret" not in answer.text
    assert world.count("idgen_problems_total", slug=slug) == 1
    described = world.get(answer.json["type"], key=None)
    assert (described.status_code, described.json["status"]) == (200, status)
    assert described.json["title"] == answer.json["title"]


def test_who_is_over_the_limit_is_told_whole_seconds_rounded_up(world):
    assert world.post("/v1/ids/orders", "busy").headers["Retry-After"] == "3"
    world.wait_s = {4: float("inf")}
    assert world.post("/v1/ids/orders", "busy").headers["Retry-After"] == "3600"


def test_the_policy_service_limits_and_switches_off(world):
    world.policy = Policy(max_count=10)
    assert world.post("/v1/ids/orders?count=10").status_code == 200
    assert "1 to 10" in world.post("/v1/ids/orders?count=11").json["detail"]
    world.policy = Policy(enabled=False)
    assert slug_of(world.post("/v1/ids/orders")) == "tag-disabled"
    assert slug_of(world.post("/v1/leases/orders")) == "tag-disabled"


def test_a_fault_that_struck_is_named_on_the_answer_also_when_it_failed(world):
    world.faults = ["cpu"]
    assert world.post("/v1/ids/orders").headers["X-Fault-Injected"] == "cpu"
    world.faults = ["cpu", "dependency"]
    answer = world.post("/v1/ids/orders")
    assert (answer.status_code, slug_of(answer)) == (503, "dependency-failed")
    assert answer.headers["X-Fault-Injected"] == "cpu,dependency"


def test_a_lease_is_ranges_that_nobody_else_gets(world):
    answer = world.post("/v1/leases/orders?count=9001").json
    assert (answer["tag"], answer["algorithm"]) == ("orders", "segment")
    sizes = [int(one["last"]) - int(one["first"]) + 1 for one in answer["ranges"]]
    assert sum(sizes) == 9001
    last = int(answer["ranges"][-1]["last"])
    assert min(int(one["first"]) for one in world.post("/v1/leases/orders?count=2").json["ranges"]) > last
    assert int(world.post("/v1/ids/orders").json["ids"][0]) > last
    assert world.count("idgen_leases_total", outcome="ok") == 2
    assert world.count("idgen_leased_ids_total") == 9003


def test_a_lease_without_a_count_is_as_large_as_the_tags_step(world):
    ranges = world.post("/v1/leases/orders").json["ranges"]
    assert int(ranges[-1]["last"]) - int(ranges[0]["first"]) + 1 == 1000


def snowflake(bits):
    return Layout(bits).pack(Parts(unix_ms=1_800_000_000_123, datacenter=5, worker=200, sequence=77))


@pytest.mark.parametrize(
    ("query", "bits"), [("", 11), ("?sequence_bits=10", 10), ("?tag=narrow", 10), ("?tag=events", 11)]
)
def test_a_snowflake_tells_its_fields_by_its_layout(world, query, bits):
    told = world.get(f"/v1/ids/{snowflake(bits)}:decode{query}").json
    assert told == {
        "id": str(snowflake(bits)),
        "kind": "int64",
        "algorithm": "snowflake",
        "time": "2027-01-15T08:00:00.123Z",
        "unix_ms": 1_800_000_000_123,
        "datacenter": 5,
        "worker": 200,
        "sequence": 77,
        "sequence_bits": bits,
    }


def test_other_ids_tell_what_they_can(world):
    seven = "01920000-0000-7abc-8def-0123456789ab"
    assert world.get(f"/v1/ids/{seven}:decode").json == {
        "id": seven,
        "kind": "uuid",
        "algorithm": "uuid7",
        "version": 7,
        "unix_ms": 0x019200000000,
        "time": "2024-09-17T12:40:52.992Z",
    }
    four = str(uuid.uuid4())
    assert world.get(f"/v1/ids/{four.upper()}:decode").json == {
        "id": four, "kind": "uuid", "algorithm": "uuid4", "version": 4,
    }  # fmt: skip
    assert world.get(f"/v1/ids/{(3 << 53) + 5}:decode").json == {
        "id": str((3 << 53) + 5), "kind": "int64", "algorithm": "segment", "datacenter": 3,
    }  # fmt: skip
    assert "time" not in world.get("/v1/ids/ffffffff-ffff-7fff-bfff-ffffffffffff:decode").json
    assert "version" not in world.get("/v1/ids/00000000-0000-0000-0000-000000000000:decode").json


def test_the_path_of_decoding_has_no_other_method(world):
    answer = world.post("/v1/ids/7:decode")
    assert (answer.status_code, slug_of(answer)) == (405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "text", ["x", "-1", str(2**63), "007", "9" * 500, "01920000-0000-7abc-8def-0123456789a", "%00", "1%C2%B2"]
)
def test_what_is_no_id_is_a_problem_of_its_own(world, text):
    answer = world.get(f"/v1/ids/{text}:decode")
    assert (answer.status_code, slug_of(answer)) == (400, "bad-id")
    assert "9" * 41 not in answer.text


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("sequence_bits=9", "bad-request"),
        ("bits=10", "bad-request"),
        ("tag=nope", "unknown-tag"),
        ("tag=%20", "bad-request"),
    ],
)
def test_a_wrong_layout_is_refused(world, query, slug):
    assert slug_of(world.get(f"/v1/ids/1:decode?{query}")) == slug


def test_no_problem_repeats_more_than_forty_characters_of_the_input(world):
    long = "q" * 200
    answers = [
        world.post(f"/v1/ids/{long}"),
        world.post(f"/v1/ids/orders?count={long}"),
        world.post(f"/v1/ids/orders?{long}=1"),
        world.post("/v1/ids/orders", headers={"Accept": long}),
        world.get(f"/v1/ids/{long}:decode"),
        world.get(f"/v1/ids/1:decode?{long}=1"),
        world.get(f"/v1/ids/1:decode?tag={long}"),
        world.get(f"/problems/{long}"),
        world.post("/v1/ids/orders", key=long),
    ]
    for answer in answers:
        assert slug_of(answer) in KINDS
        assert "q" * 41 not in answer.text


def test_not_ready_says_why_and_when_to_try_again_and_health_stays_good(world):
    world.not_ready = "starting: the database does not answer"
    answer = world.get("/readyz", key=None)
    assert (answer.status_code, slug_of(answer)) == (503, "not-ready")
    assert "database" in answer.json["detail"]
    assert answer.headers["Retry-After"] == "1"
    assert world.get("/healthz", key=None).json == {"status": "ok", "version": "1.2.3", "slot": "green"}
    world.not_ready = None
    assert world.get("/readyz", key=None).json == {"status": "ready", "version": "1.2.3", "worker": 1}


@pytest.mark.parametrize("path", ["/v1/ids/events", "/v1/ids/nope", "/healthz", "/readyz", "/metrics", "/x"])
def test_every_answer_names_version_and_slot_and_no_fault_that_did_not_strike(world, path):
    answer = world.post(path) if "ids" in path else world.get(path)
    assert answer.headers["X-Plumbline-Version"] == "1.2.3"
    assert answer.headers["X-Plumbline-Slot"] == "green"
    assert "X-Fault-Injected" not in answer.headers


def test_every_series_exists_at_zero_before_the_first_request(world):
    for algorithm in ("segment", "snowflake", "uuid7", "uuid4", "none"):
        for outcome in ("ok", "refused", "error"):
            labels = {"algorithm": algorithm, "outcome": outcome, "slot": "green", "version": "1.2.3"}
            assert world.count("idgen_generate_requests_total", **labels) == 0
    for slug in KINDS:
        assert world.count("idgen_problems_total", slug=slug) == 0


def test_requests_ids_and_durations_are_counted(world):
    world.post("/v1/ids/orders?count=5")
    world.post("/v1/ids/stuck")
    world.post("/v1/ids/broken")
    assert world.count("idgen_generate_requests_total", algorithm="segment", outcome="ok") == 1
    assert world.count("idgen_ids_total", algorithm="segment") == 5
    assert world.count("idgen_generate_duration_seconds_count", algorithm="segment") == 1
    assert world.count("idgen_generate_requests_total", algorithm="none", outcome="error") == 2
