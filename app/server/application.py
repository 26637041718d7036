"""The Flask application of one process: every blueprint, under one frame."""

from collections.abc import Sequence
from typing import Any, Protocol

from flask import Blueprint, Flask

from app.issuing import Issuing
from app.observing import http as observed
from app.observing.tracing import Tracing
from app.server import problems
from app.server.admission import Admission
from app.server.api import docs, health, issuing
from app.server.operation import install
from app.server.problems import ProblemError


class Runtime(Protocol):
    """What the application needs of app.serving.runtime.Runtime.

    not_ready_because: None when ready, else what is missing, in words or as a problem. traces: None without
    tracing.
    """

    settings: Any
    metrics: Any
    issuing: Issuing
    admission: Admission
    traces: Tracing | None

    @property
    def blueprints(self) -> Sequence[Blueprint]: ...

    @property
    def worker(self) -> int | None: ...

    def not_ready_because(self) -> str | ProblemError | None: ...


def create_app(runtime: Runtime) -> Flask:
    """The WSGI application over a runtime (started or not)."""
    app = Flask("plumbline", static_folder=None)
    settings = runtime.settings
    observed.install(app, runtime.traces)
    install(
        app,
        admission=runtime.admission,
        problem=runtime.metrics.problem,
        constant={"X-Plumbline-Version": settings.version, "X-Plumbline-Slot": settings.slot},
    )
    for blueprint in (issuing.blueprint(runtime.issuing), *runtime.blueprints):
        app.register_blueprint(blueprint)
    app.register_blueprint(
        health.blueprint(
            version=settings.version,
            slot=settings.slot,
            worker=lambda: runtime.worker,
            not_ready=lambda: _not_ready(runtime),
            metrics=runtime.metrics.render,
        )
    )
    app.register_blueprint(docs.blueprint(settings.version))
    return app


def _not_ready(runtime: Runtime) -> ProblemError | None:
    because = runtime.not_ready_because()
    if because is None or isinstance(because, ProblemError):
        return because
    return problems.unavailable("not-ready", because)
