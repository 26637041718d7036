"""An OTLP/HTTP receiver that keeps the spans it's sent."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collected:
    """One span: ids in hexadecimal, attributes as Python values."""

    def __init__(self, span, resource):
        self.name, self.kind = span.name, span.kind
        self.trace_id, self.span_id = span.trace_id.hex(), span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.failed = span.status.code == 2
        self.attributes = _plain(span.attributes)
        self.resource = _plain(resource)
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def _plain(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Collector:
    """`url` for PLUMBLINE_OTLP_URL; `spans` of what came."""

    def __init__(self):
        spans = self.spans = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                request = ExportTraceServiceRequest.FromString(body)
                for of_resource in request.resource_spans:
                    for of_scope in of_resource.scope_spans:
                        spans.extend(Collected(s, of_resource.resource.attributes) for s in of_scope.spans)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def until(self, count, timeout_s=10):
        """The spans once there are so many."""
        deadline = time.monotonic() + timeout_s
        while len(self.spans) < count:
            assert time.monotonic() < deadline, f"{len(self.spans)} of {count} spans: {self.names()}"
            time.sleep(0.02)
        return self.spans

    def names(self):
        return [span.name for span in self.spans]

    def named(self, name):
        [span] = [span for span in self.spans if span.name == name]
        return span

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
