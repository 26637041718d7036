"""One trace from the caller's header through HTTP to Postgres and Redis, in a forked process."""

import time

import pytest

pytestmark = pytest.mark.integration

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_one_trace_from_the_callers_header_to_postgres_and_redis(serve, redis_ip, collector):
    service = serve(REDIS_HOST=redis_ip, OTLP_URL=collector.url)
    collector.spans.clear()
    status, headers, _ = service.issue(traceparent=f"00-{TRACE}-{CALLER}-01", **{"X-Request-Id": "mine"})
    assert status == 200
    spans = collector.until(5)
    assert {span.trace_id for span in spans} == {TRACE}
    request = collector.named("POST /v1/ids/<tag>")
    assert request.parent_id == CALLER
    assert headers["traceparent"] == f"00-{TRACE}-{request.span_id}-01"
    assert collector.named("authenticate").parent_id == request.span_id
    segment = collector.named("segment")
    assert segment.parent_id == request.span_id
    statement = collector.named("SELECT ids")
    assert statement.parent_id == segment.span_id
    assert statement.attributes["db.system.name"] == "postgresql"
    assert statement.attributes["db.query.text"] == "SELECT %(tag)s"
    assert statement.attributes["server.address"] == "127.0.0.1"
    command = collector.named("GET")
    assert command.parent_id == request.span_id
    assert command.attributes["db.system.name"] == "redis"
    assert command.attributes["server.address"] == redis_ip
    # The log has the same ids, in a process that was forked after its parent had read the code.
    [line] = [line for line in service.lines() if line.get("request_id") == "mine"]
    assert (line["event"], line["trace_id"]) == ("issued", TRACE)


def test_requests_without_a_decision_are_not_sent_and_have_a_trace_id_in_their_log(serve, collector):
    service = serve(OTLP_URL=collector.url)
    status, headers, _ = service.issue(**{"X-Request-Id": "quiet"})
    assert status == 200
    time.sleep(1.5)
    assert collector.spans == []
    [line] = [line for line in service.lines() if line.get("request_id") == "quiet"]
    assert line["trace_id"] == headers["traceparent"].split("-")[1]


def test_a_struck_request_carries_its_fault_on_its_trace(serve, collector):
    service = serve(OTLP_URL=collector.url)
    fault = {"kind": "db", "mode": "slow_plan", "share": 1, "rows": 500}
    assert service.call("PUT", "/v1/faults", {"faults": [fault]})[0] == 200
    time.sleep(1)
    assert service.issue(traceparent=f"00-{TRACE}-{CALLER}-01")[1]["X-Fault-Injected"] == "db"
    collector.until(5)
    request = collector.named("POST /v1/ids/<tag>")
    assert (request.attributes["fault.kind"], request.attributes["fault.mode"]) == ("db", "slow_plan")
    struck = collector.named("fault")
    cause = [span for span in collector.spans if span.parent_id == struck.span_id]
    assert [span.name for span in cause] == ["SELECT ids"]
    assert "generate_series" in cause[0].attributes["db.query.text"]
