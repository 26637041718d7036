"""How a worker is, for those who watch it: a file that grows old when it hangs, /metrics and /healthz."""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.jobs.worker import Told

WRITE_EVERY_S = 1.0
_ENDS = ("done", "failed", "put_back", "lost")


class Status:
    """Writes `path` every second while `alive()` is true. queue_counts: jobs by state; it may raise."""

    def __init__(
        self,
        path: Path,
        told: Told,
        *,
        alive: Callable[[], bool],
        queue_counts: Callable[[], Mapping[str, int]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._told, self._alive, self._now = path, told, alive, now
        self._queue_counts = queue_counts
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="job-status", daemon=True)

    def start(self) -> None:
        """Write it now, and every second from now on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Remove the file: a worker that is not there is not ill."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._path.unlink(missing_ok=True)

    def write(self) -> None:
        """Replace the file, whole."""
        content = json.dumps({"at": self._now(), "pid": os.getpid(), **asdict(self._told)})
        with tempfile.NamedTemporaryFile(
            "w", dir=self._path.parent, prefix=f".{self._path.name}.", delete=False
        ) as file:
            file.write(content)
        Path(file.name).replace(self._path)

    def metrics(self) -> str:
        """Prometheus' text format. Without the queue's gauge while the database is away."""
        told = self._told
        lines = ["# TYPE idgen_jobs_ended_total counter"]
        lines += [f'idgen_jobs_ended_total{{result="{end}"}} {getattr(told, end)}' for end in _ENDS]
        lines += ["# TYPE idgen_jobs_ids_total counter", f"idgen_jobs_ids_total {told.ids}"]
        lines += ["# TYPE idgen_jobs_working gauge", f"idgen_jobs_working {int(told.job is not None)}"]
        try:
            counts = self._queue_counts()
        except Exception:
            counts = {}
        if counts:
            lines.append("# TYPE idgen_jobs gauge")
            lines += [f'idgen_jobs{{state="{state}"}} {count}' for state, count in counts.items()]
        return "\n".join(lines) + "\n"

    def _follow(self) -> None:
        while not self._stopped.wait(WRITE_EVERY_S):
            if self._alive():
                self.write()


def age_s(path: Path, now: float) -> float | None:
    """Seconds since the worker last wrote its file; None without one that can be read."""
    try:
        return now - float(json.loads(path.read_text())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def serve(status: Status, host: str, port: int, healthy: Callable[[], bool]) -> ThreadingHTTPServer:
    """GET /metrics and /healthz, in threads, until `shutdown`. Raises OSError for an address taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, status.metrics(), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/healthz":
                fine = healthy()
                self._answer(200 if fine else 503, json.dumps({"status": "ok" if fine else "stuck"}))
            else:
                self._answer(404, json.dumps({"error": "no such path"}))

        def _answer(self, code: int, body: str, kind: str = "application/json") -> None:
            octets = body.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, format: str, *args: Any) -> None:
            """No line a request."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="job-metrics", daemon=True).start()
    return server
