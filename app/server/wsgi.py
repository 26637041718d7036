"""What gunicorn imports in each worker, after the fork: `app.server.wsgi:app`."""

import os

from app import settings as configuration
from app.observing import errors, tracing
from app.observing.metrics import Metrics
from app.server import logs
from app.server.application import create_app
from app.server.problem_kinds import KINDS
from app.serving.runtime import Runtime

_settings, _release = configuration.load()
_where = {"slot": _settings.slot, "version": _settings.version}
_dsn = _settings.sentry_dsn.get_secret_value() if _settings.sentry_dsn else None
_errors = errors.start(_dsn, **_where)
logs.configure(_settings.log_level, report=_errors.report if _errors else None, **_where)
_traces = tracing.start(
    _settings.otlp_url,
    share=_settings.trace_share,
    most_per_s=_settings.trace_most_per_s,
    process=os.getpid(),
    **_where,
)
runtime = Runtime(_settings, _release, Metrics(**_where, slugs=KINDS), _traces)
app = create_app(runtime)
# What the worker's event loop answers by itself, and what it calls when it is asked to stop.
app.instant = runtime.instant  # type: ignore[attr-defined]
app.drain = runtime.drain  # type: ignore[attr-defined]
stop_reporting = _errors.stop if _errors else lambda: None
runtime.start()
# Importing this comes before accepting connections, so a worker that starts normally never answers "not
# ready" while its sibling is. When the database is away it serves after a moment all the same, and says so.
runtime.wait_until_started(5)
