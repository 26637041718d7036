"""Log lines are JSON, have the request they belong to, and tell Sentry of mistakes without secrets."""

import gzip
import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog

from app.observing import context, errors
from app.server import logs
from app.server.request_context import RequestContext

REQUEST = RequestContext("request-1", "ab" * 16, "cd" * 8, "00")


@pytest.fixture
def lines(capsys):
    """The lines logged, after logs.configure(level, ...)."""
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]

    def configured(level="info", **more):
        structlog.reset_defaults()
        logs.configure(level, **more)

        def read():
            return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

        return read

    yield configured
    structlog.reset_defaults()
    root.handlers[:] = handlers
    for name in ("plumbline", "gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def test_a_line_is_json_and_has_what_is_constant(lines):
    read = lines(slot="green", version="1.2.3")
    structlog.get_logger("plumbline").info("segment loaded", tag="orders")
    [line] = read()
    assert (line["event"], line["tag"], line["slot"], line["version"]) == (
        "segment loaded", "orders", "green", "1.2.3"
    )  # fmt: skip
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_every_line_of_a_request_has_its_ids_whoever_logs_it(lines):
    read = lines()
    with context.request(REQUEST):
        structlog.get_logger("plumbline").info("ours")
        logging.getLogger("plumbline").warning("a library's")
        logging.getLogger("gunicorn.error").error("the server's")
    structlog.get_logger("plumbline").info("after")
    *of_request, after = read()
    assert [(line["request_id"], line["trace_id"]) for line in of_request] == [("request-1", "ab" * 16)] * 3
    assert "request_id" not in after


def test_the_level_is_settable(lines):
    read = lines("warning")
    structlog.get_logger("plumbline").info("not shown")
    structlog.get_logger("plumbline").warning("shown")
    assert [line["event"] for line in read()] == ["shown"]


def test_a_logged_mistake_is_reported_with_the_lines_facts_and_other_lines_are_not(lines):
    reported = []
    read = lines(report=lambda error, facts: reported.append((error, facts)))
    logger = structlog.get_logger("plumbline")
    mistake = ValueError("wrong")
    with context.request(REQUEST):
        logger.error("unexpected error", path="/x", exc_info=mistake)
        logger.error("database failed", error="gone")
    [(error, facts)] = reported
    assert error is mistake
    assert (facts["path"], facts["request_id"], facts["trace_id"]) == ("/x", "request-1", "ab" * 16)
    assert "ValueError: wrong" in read()[0]["exception"]


class Sentry:
    """An endpoint that keeps the events it's sent."""

    def __init__(self):
        events = self.events = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                events.append((self.path, body.decode()))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://public@127.0.0.1:{self._server.server_port}/42"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def sentry(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Sentry()
    yield made
    made.stop()


def mistake():
    password = "local-variable-secret"
    raise RuntimeError(
        f"plk_{'x' * 43} at postgresql://ids:hunter2@db/ids with Bearer abc.def {len(password)}"
    )


def test_with_a_dsn_a_mistake_arrives_without_anything_secret(sentry):
    reports = errors.start(sentry.dsn, version="1.2.3", slot="green")
    assert not reports._client.options["send_default_pii"]
    try:
        mistake()
    except RuntimeError as error:
        reports.report(
            error,
            {
                "event": "unexpected error",
                "request_id": "request-1",
                "trace_id": "ab" * 16,
                "authorization": "Bearer plk_header",
                "path": "/v1/ids/orders",
            },
        )
    reports.stop()
    [(path, envelope)] = sentry.events
    assert path == "/api/42/envelope/"
    event = json.loads(envelope.splitlines()[2])
    assert event["release"] == "plumbline@1.2.3"
    assert event["environment"] == "green"
    assert event["tags"] == {"request_id": "request-1", "trace_id": "ab" * 16}
    assert event["extra"]["path"] == "/v1/ids/orders"
    [exception] = event["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["stacktrace"]["frames"][-1]["function"] == "mistake"
    assert "vars" not in exception["stacktrace"]["frames"][-1]
    for secret in ("plk_x", "hunter2", "abc.def", "plk_header", "local-variable-secret"):
        values = (
            json.dumps({key: value for key, value in event.items() if key != "exception"})
            + exception["value"]
        )
        assert secret not in values, secret


def test_headers_by_name_and_secrets_by_form_are_removed_wherever_they_stand():
    event = {
        "request": {"headers": {"Authorization": "Basic xyz", "Cookie": "a=b", "Accept": "json"}},
        "deep": [{"texts": ["redis://u:p@h/0", 7, None]}],
    }
    assert errors.scrub(event, {}) == {
        "request": {"headers": {"Authorization": errors.SHOWN, "Cookie": errors.SHOWN, "Accept": "json"}},
        "deep": [{"texts": [f"redis://{errors.SHOWN}@h/0", 7, None]}],
    }


def test_without_a_dsn_nothing_is_started():
    assert errors.start(None, version="1", slot="blue") is None


def test_a_sentry_that_is_away_costs_a_stop_little_and_a_report_nothing():
    reports = errors.start("http://public@127.0.0.1:9/1", version="1", slot="blue")
    began = time.monotonic()
    reports.report(ValueError("x"), {})
    assert time.monotonic() - began < 0.5
    reports.stop()
    assert time.monotonic() - began < 5


def test_a_mistake_in_reporting_is_not_the_requests(monkeypatch):
    reports = errors.start("http://public@127.0.0.1:9/1", version="1", slot="blue")
    monkeypatch.setattr(reports._client, "capture_event", lambda *a: 1 / 0)
    reports.report(ValueError("x"), {})
    reports.stop()
