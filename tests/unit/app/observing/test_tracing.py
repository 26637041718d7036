"""One trace for one request, from the caller's header on; nothing to pay where there is none."""

import subprocess
import sys
import time

import pytest
from flask import Flask
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.downstream import Server
from app.faults.causes import compute
from app.faults.config import CpuFault, DbFault
from app.faults.injector import Causes, Injector
from app.observing import context, tracing
from app.observing.data_spans import trace_postgres, trace_redis
from app.observing.http import install
from app.policies import Policies
from app.server import request_context

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


class Traced:
    """A small application with tracing to a collector; draw decides for requests without a decision."""

    def __init__(self, collector, share=1.0, draw=lambda: 0.0):
        self.traces = tracing.start(collector.url, share=share, version="1.2.3", slot="green", process=7)
        self.traces._draw = draw
        self.app = Flask("test")
        install(self.app, self.traces)
        self.seen = []

        @self.app.get("/v1/things/<name>")
        def view(name):
            self.seen.append((context.ids(), tracing.traced()))
            return self.work(name) or "ok"

        @self.app.after_request
        def mark(response):
            from flask import request

            response.headers["traceparent"] = request_context.of(request.environ).traceparent
            return response

        self.work = lambda name: None
        self.http = self.app.test_client()

    def get(self, name="x", **headers):
        return self.http.get(f"/v1/things/{name}", headers=headers)


@pytest.fixture
def traced(collector):
    made = []

    def begin(**more):
        made.append(Traced(collector, **more))
        return made[-1]

    yield begin
    for one in made:
        one.traces.stop()


def test_the_callers_trace_goes_on_with_the_services_spans_inside(collector, traced):
    service = traced()

    def work(name):
        with tracing.span("router", {"plumbline.algorithm": "segment"}), tracing.client_span("GET"):
            pass
        with tracing.span("encode"):
            pass

    service.work = work
    answer = service.get(traceparent=SAMPLED, **{"X-Request-Id": "mine", "X-Forwarded-For": "192.0.2.1"})
    service.traces.stop()
    spans = collector.until(4)
    assert {span.trace_id for span in spans} == {TRACE}
    request = collector.named("GET /v1/things/<name>")
    assert request.parent_id == CALLER
    assert request.kind == 2, "server"
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/things/<name>",
        "http.response.status_code": 200,
        "url.path": "/v1/things/x",
        "url.scheme": "http",
        "user_agent.original": request.attributes["user_agent.original"],
        "client.address": "192.0.2.1",
        "plumbline.request_id": "mine",
    }
    assert request.resource["service.name"] == "plumbline"
    assert request.resource["service.version"] == "1.2.3"
    assert request.resource["plumbline.slot"] == "green"
    router = collector.named("router")
    assert router.parent_id == request.span_id
    assert router.attributes == {"plumbline.algorithm": "segment"}
    assert (collector.named("GET").parent_id, collector.named("GET").kind) == (router.span_id, 3)
    assert collector.named("encode").parent_id == request.span_id
    assert answer.headers["traceparent"] == f"00-{TRACE}-{request.span_id}-01"
    assert service.seen == [(("mine", TRACE), True)]


def test_a_new_trace_has_the_id_that_the_answer_tells(collector, traced):
    service = traced()
    first, second = service.get(), service.get()
    service.traces.stop()
    collector.until(2)
    told = [answer.headers["traceparent"].split("-")[1] for answer in (first, second)]
    assert [span.trace_id for span in collector.spans] == told
    assert told[0] != told[1]
    assert all(span.parent_id == "" for span in collector.spans)


def test_the_callers_decision_counts_and_without_one_the_share_is_drawn(collector, traced):
    draws = iter([0.009, 0.011, 0.5, 0.0])
    service = traced(share=0.01, draw=lambda: next(draws))
    service.get("never", traceparent=UNSAMPLED)
    service.get("always", traceparent=SAMPLED)
    for n in range(4):
        service.get(f"drawn{n}")
    service.traces.stop()
    collector.until(3)
    assert [span.attributes["url.path"].rpartition("/")[2] for span in collector.spans] == [
        "always", "drawn0", "drawn3"
    ]  # fmt: skip
    assert service.seen[0] == ((service.seen[0][0][0], TRACE), False), (
        "its log lines have the trace id all the same"
    )


@pytest.mark.parametrize(
    "header",
    [
        "", "x", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{CALLER}-01",
        f"00-{TRACE.upper()}-{CALLER}-01", f"00-{TRACE}-{CALLER}-01-more",
        f"00-{TRACE}-{CALLER}-\u00b2\u00b2",
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_no_parent(header):
    assert tracing.parse(header) is None


def test_a_short_answer_gives_up_its_place_to_the_requests_that_are_drawn(traced):
    draws = iter([0.5, 0.0, 0.9, 0.9])
    service = traced(share=0.01, draw=lambda: next(draws))
    assert not service.traces.takes_long_way("")
    assert service.traces.takes_long_way("")
    service.get()
    assert service.seen[-1][1], "drawn once, not twice"
    service.get()
    assert not service.seen[-1][1]
    assert service.traces.takes_long_way(SAMPLED)
    assert not service.traces.takes_long_way(UNSAMPLED)


def test_a_failed_request_and_a_failed_part_are_marked(collector, traced):
    service = traced()

    def work(name):
        with pytest.raises(KeyError), tracing.span("part"):
            raise KeyError(name)
        return "no", 503

    service.work = work
    service.get()
    service.traces.stop()
    collector.until(2)
    part, request = collector.named("part"), collector.named("GET /v1/things/<name>")
    assert (part.failed, part.attributes["error.type"]) == (True, "KeyError")
    assert (request.failed, request.attributes["error.type"]) == (True, "503")


def test_a_path_that_does_not_exist_has_a_span_and_no_route(collector, traced):
    service = traced()
    assert service.http.get("/nothing").status_code == 404
    service.traces.stop()
    [span] = collector.until(1)
    assert span.name == "GET"
    assert "http.route" not in span.attributes
    assert not span.failed, "a caller's mistake is not the service's"


def test_affected_traces_carry_the_faults_kind_and_mode(collector, traced):
    service = traced()
    causes = Causes(compute, compute, compute)
    injector = Injector(
        [CpuFault(kind="cpu", share=1, rounds=1), DbFault(kind="db", share=1, rows=10)],
        causes,
        lambda: 0.0,
        mark=tracing.fault_span,
    )
    service.work = lambda name: injector.strike(name, [])
    service.get()
    service.traces.stop()
    collector.until(3)
    request = collector.named("GET /v1/things/<name>")
    assert request.attributes["fault.kind"] == "cpu,db"
    assert request.attributes["fault.mode"] == "compute,slow_plan"
    faults = [span for span in collector.spans if span.name == "fault"]
    assert [span.attributes for span in faults] == [
        {"fault.kind": "cpu", "fault.mode": "compute"},
        {"fault.kind": "db", "fault.mode": "slow_plan"},
    ]
    assert all(span.parent_id == request.span_id for span in faults)


def test_statements_have_spans_without_their_values_and_failed_ones_say_why(collector, traced):
    service = traced()
    engine = create_engine("sqlite://")
    trace_postgres(engine)

    def work(name):
        with engine.connect() as connection:
            connection.execute(text("SELECT :n"), {"n": "a secret"})
            with pytest.raises(OperationalError):
                connection.execute(text("SELECT * FROM nothing"))

    work("outside of a request nothing is traced")
    service.work = work
    service.get()
    service.traces.stop()
    collector.until(3)
    good, bad = (span for span in collector.spans if span.name.startswith("SELECT"))
    assert good.attributes["db.query.text"] == "SELECT ?"
    assert good.attributes["db.operation.name"] == "SELECT"
    assert not good.failed
    assert (bad.failed, bad.attributes["error.type"]) == (True, "OperationalError")
    assert not any("secret" in str(span.attributes) for span in collector.spans)


class Redis:
    """What trace_redis sees of a client."""

    class Pipeline:
        def execute(self):
            return ["done"]

        def __len__(self):
            return 2

    def execute_command(self, *arguments, **options):
        return arguments

    def pipeline(self, *arguments, **options):
        return self.Pipeline()


def test_commands_have_spans_with_the_kind_of_key_and_no_value(collector, traced):
    service = traced()
    client = trace_redis(Redis())

    def work(name):
        assert client.execute_command("SET", "segment:orders:0", "a value") == (
            "SET",
            "segment:orders:0",
            "a value",
        )
        client.execute_command("GET", b"secret")
        client.execute_command("PING")
        assert client.pipeline(transaction=False).execute() == ["done"]

    service.work = work
    service.get()
    service.traces.stop()
    collector.until(5)
    texts = {span.name: span.attributes["db.query.text"] for span in collector.spans if span.kind == 3}
    assert texts == {"SET": "SET segment:?", "GET": "GET ?", "PING": "PING", "PIPELINE": "2 commands"}


def test_the_policy_service_is_called_within_the_trace(collector, traced, monkeypatch):
    import threading

    received = []
    server = Server(("127.0.0.1", 0), faults_allowed=True)
    handler = server.RequestHandlerClass
    monkeypatch.setattr(
        handler, "do_GET",
        lambda self, original=handler.do_GET: (received.append(dict(self.headers)), original(self)),
    )  # fmt: skip
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    policies = Policies(f"http://127.0.0.1:{server.server_port}", time.monotonic, lambda why: None)
    service = traced()
    service.work = lambda name: policies.ask(name, "none") and None
    service.get(traceparent=SAMPLED)
    policies.ask("outside", "none")
    service.traces.stop()
    server.shutdown()
    server.server_close()
    policies.close()
    collector.until(2)
    call = collector.named("GET")
    assert received[0]["traceparent"] == f"00-{TRACE}-{call.span_id}-01"
    assert "traceparent" not in received[1]
    assert call.attributes["server.port"] == server.server_port
    assert call.attributes["http.response.status_code"] == 200


def test_without_a_collector_there_is_no_tracing():
    assert tracing.start(None, share=1, version="1", slot="blue", process=1) is None


@pytest.mark.parametrize(
    ("url", "posted"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_spans_are_posted_where_the_collector_wants_them(url, posted):
    assert tracing.endpoint(url) == posted


def test_a_collector_that_is_away_costs_no_request_and_a_stop_little(traced, collector):
    service = traced()
    collector.stop()
    began = time.monotonic()
    assert service.get().status_code == 200
    assert time.monotonic() - began < 1
    service.traces.stop()
    assert time.monotonic() - began < 6


SPANS = """
import time
from app.observing import tracing

def cost():
    began = time.thread_time()
    for _ in range(20_000):
        with tracing.span("router"):
            pass
    return (time.thread_time() - began) / 20_000

print(min(cost() for _ in range(7)))
"""


def test_a_span_where_nothing_is_traced_costs_less_than_a_microsecond():
    # In a process of its own: whoever measures coverage here would measure that.
    run = subprocess.run([sys.executable, "-c", SPANS], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1e-6


def test_threads_do_not_share_their_request(traced):
    service = traced()
    for n in range(3):
        service.get(**{"X-Request-Id": f"r{n}"})
    assert [ids[0] for ids, _ in service.seen] == ["r0", "r1", "r2"]
    assert context.ids() == ("", "")
    assert not tracing.traced()


def test_no_more_are_traced_a_second_than_allowed_whatever_the_share():
    now = [100.0]
    traces = tracing.Tracing(
        SimpleSpanProcessor(InMemorySpanExporter()), share=1, resource={}, most_per_s=5, draw=lambda: 0.0,
        monotonic=lambda: now[0],
    )  # fmt: skip
    assert sum(traces.takes_long_way("") for _ in range(100)) in (5, 6)
    now[0] += 10
    assert sum(traces.takes_long_way("") for _ in range(100)) in (5, 6), "nothing is saved up for longer"
    assert traces.takes_long_way(f"00-{'a' * 32}-{'b' * 16}-01"), "what a caller has decided counts"
