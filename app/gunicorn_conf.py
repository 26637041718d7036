"""gunicorn's settings; the build puts this file at the bundle's root as gunicorn.conf.py.

Run: PYTHONPATH=<release>/site-packages /usr/bin/python3 -m gunicorn -c <release>/gunicorn.conf.py
"""

import gc
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from app import settings as configuration

try:
    _settings, _release = configuration.load()
except configuration.BadSettingsError as error:
    print(f"the service does not start: {error}", file=sys.stderr)
    sys.exit(2)

# Set before prometheus_client is imported, which chooses its mode then.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_settings.metrics_dir)
_settings.metrics_dir.mkdir(parents=True, exist_ok=True)

# One thread is enough for what numpy does here, and threads don't survive the fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Imported here, so that the workers share one copy; the application itself is made in each worker.
import app.server.application  # noqa: E402
import app.serving.runtime  # noqa: E402, F401
from app.server.balance import connections  # noqa: E402  # shared with the workers, so made before them

wsgi_app = "app.server.wsgi:app"
bind = _settings.bind
worker_class = "app.server.worker.ServiceWorker"
workers = _settings.workers
threads = _settings.threads
keepalive = 120  # longer than any proxy keeps an idle connection, or it sends into one that closes
timeout = 60
graceful_timeout = 30
max_requests = 0  # a new process leaves the metric files of the old one behind
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # heartbeats, not on disk
loglevel = _settings.log_level
logger_class = "app.server.gunicorn_logger.JsonLogger"
control_socket_disable = True
proc_name = f"plumbline-{_settings.slot}"


def on_starting(server: object) -> None:
    """Metrics begin at 0 with each start of the server."""
    shutil.rmtree(_settings.metrics_dir, ignore_errors=True)
    _settings.metrics_dir.mkdir(parents=True)


def when_ready(server: object) -> None:
    """What is imported stays: the collector needn't look at it, nor so copy its pages into each worker."""
    gc.collect()
    gc.freeze()


def worker_exit(server: object, worker: object) -> None:
    """Runs in the worker when its last request is answered."""
    from app.server.wsgi import runtime, stop_reporting  # noqa: PLC0415  # exist only in workers

    runtime.stop()
    stop_reporting()
    if isinstance(ended := sys.exception(), SystemExit) and not ended.code:
        # Everything is given back. Taking the interpreter apart takes a second, which a restart waits for.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def child_exit(server: object, worker: Any) -> None:
    """Runs in the master: the dead worker's gauges no longer count."""
    from prometheus_client import multiprocess  # noqa: PLC0415  # after the variable above is set

    connections.gone(worker.age)
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
