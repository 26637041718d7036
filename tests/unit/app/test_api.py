"""The HTTP interface, without a database."""

import pytest

from app.policies import Policy


def test_a_single_id_is_a_string_and_its_algorithm_is_told(service):
    answer = service.http.post("/v1/ids/events")
    assert answer.status_code == 200
    assert answer.json["algorithm"] == "snowflake"
    [value] = answer.json["ids"]
    assert isinstance(value, str)
    assert 0 < int(value) < 2**63


@pytest.mark.parametrize("tag", ["orders", "events"])
def test_a_thousand_ids_are_distinct_and_ascend(service, tag):
    ids = [int(value) for value in service.http.post(f"/v1/ids/{tag}?count=1000").json["ids"]]
    assert len(ids) == 1000
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "count", ["0", "-1", "100001", "99999999999999999999", "x", "", "1.5", "1e2", " 1", "%C2%B2"]
)
def test_a_bad_count_is_a_problem_that_says_what_is_allowed(service, count):
    answer = service.http.post(f"/v1/ids/events?count={count}")
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == "/problems/bad-count"
    assert "1 to 100000" in answer.json["detail"]
    assert answer.json["status"] == 400
    assert service.metric('idgen_generate_requests_total{algorithm="none",outcome="refused"') == 1


@pytest.mark.parametrize("tag", ["nope", "with%20space", "x" * 65, "%F0%9F%98%80"])
def test_an_unknown_tag_is_a_problem(service, tag):
    answer = service.http.post(f"/v1/ids/{tag}")
    assert answer.status_code == 404
    assert answer.json["type"] == "/problems/unknown-tag"


@pytest.mark.parametrize(("method", "path", "status"), [("get", "/v1/ids/events", 405), ("get", "/x", 404)])
def test_other_refusals_have_the_same_shape(service, method, path, status):
    answer = getattr(service.http, method)(path)
    assert answer.status_code == answer.json["status"] == status
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/ids/events", "/v1/ids/nope", "/healthz", "/readyz", "/metrics", "/x"])
def test_every_answer_names_version_and_slot(service, path):
    answer = service.http.open(path, method="POST" if "ids" in path else "GET")
    assert answer.headers["X-Plumbline-Version"] == "1.2.3"
    assert answer.headers["X-Plumbline-Slot"] == "green"
    assert "X-Fault-Injected" not in answer.headers


def test_not_ready_is_503_with_the_reason_and_health_is_still_good(service):
    service.runtime.not_ready_because = lambda: "starting: the database does not answer"
    answer = service.http.get("/readyz")
    assert answer.status_code == 503
    assert "database" in answer.json["detail"]
    assert answer.headers["Retry-After"] == "1"
    assert service.http.get("/healthz").status_code == 200


def test_without_a_store_the_other_algorithm_still_works(service):
    service.store_broken = True
    assert service.http.post("/v1/ids/orders").status_code == 503
    assert service.http.post("/v1/ids/events").status_code == 200
    assert service.runtime.issuer.can_issue()


def test_the_policy_limits_the_count_and_can_switch_a_tag_off(service):
    service.downstream.policy = Policy(max_count=10)
    assert service.http.post("/v1/ids/events?count=10").status_code == 200
    assert "1 to 10" in service.http.post("/v1/ids/events?count=11").json["detail"]
    service.downstream.policy = Policy(enabled=False)
    assert service.http.post("/v1/ids/events").status_code == 403


def test_every_metric_series_exists_before_the_first_request(service):
    text = service.http.get("/metrics").text
    for algorithm in ("segment", "snowflake", "none"):
        for outcome in ("ok", "refused", "error"):
            series = f'algorithm="{algorithm}",outcome="{outcome}",slot="green",version="1.2.3"}} 0.0'
            assert f"idgen_generate_requests_total{{{series}" in text
    for edge in ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.0", "5.0", "10.0", "+Inf"):
        assert f'le="{edge}",slot="green"' in text


def test_requests_ids_and_durations_are_counted(service):
    service.http.post("/v1/ids/orders?count=5")
    assert service.metric('idgen_generate_requests_total{algorithm="segment",outcome="ok"') == 1
    assert service.metric('idgen_ids_total{algorithm="segment"') == 5
    assert service.metric('idgen_generate_duration_seconds_count{algorithm="segment"') == 1
    assert 0 < service.metric("idgen_segment_usage_ratio") < 0.01


def test_an_unexpected_error_is_a_problem_without_its_details(service):
    def broken(name):
        raise RuntimeError("secret")

    service.runtime.tags.find = broken
    answer = service.http.post("/v1/ids/events")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert service.metric('idgen_generate_requests_total{algorithm="none",outcome="error"') == 1
