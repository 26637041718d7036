"""The Flask application of one process: every blueprint, under one frame."""

from typing import Any

from flask import Flask

from app.auth.principal import Principal
from app.ids import Batch
from app.issuing import Issuing
from app.observing import http as observed
from app.server import problems
from app.server.admission import Admission
from app.server.api import docs, health, issuing
from app.server.operation import install
from app.server.problems import ProblemError

EVERYONE = Principal(0, 1, "default", frozenset({"issue", "read", "admin", "operate"}), "anonymous")
"""The caller of every request where keys are switched off."""


def create_app(runtime: Any) -> Flask:
    """The WSGI application over a runtime (started or not).

    Of the runtime it takes settings (version, slot), metrics (render, problem), worker and not_ready_because;
    and issuing, admission, traces and blueprints where it has them.
    """
    app = Flask("plumbline", static_folder=None)
    settings = runtime.settings
    observed.install(app, getattr(runtime, "traces", None))
    install(
        app,
        admission=getattr(runtime, "admission", None) or Admission(_nobody, everyone=EVERYONE),
        problem=getattr(runtime.metrics, "problem", None) or (lambda slug: None),
        constant={"X-Plumbline-Version": settings.version, "X-Plumbline-Slot": settings.slot},
    )
    app.register_blueprint(issuing.blueprint(getattr(runtime, "issuing", None) or _issuing_of(runtime)))
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
    for blueprint in getattr(runtime, "blueprints", ()):
        app.register_blueprint(blueprint)
    return app


def _nobody(token: str) -> Principal:
    raise AssertionError("keys are switched off")


def _not_ready(runtime: Any) -> ProblemError | None:
    """not_ready_because: None when ready, else the reason in words, or a problem."""
    because = runtime.not_ready_because()
    if because is None or isinstance(because, ProblemError):
        return because
    return problems.unavailable("not-ready", because)


class _OfIssuer:
    """One tag of a runtime's issuer, as a router."""

    def __init__(self, runtime: Any, tag: Any) -> None:
        self._runtime, self._tag = runtime, tag

    def batch(self, count: int) -> tuple[str, Batch]:
        issued = self._runtime.issuer.issue(self._tag, count)
        if issued.algorithm == "segment":
            self._runtime.metrics.segment_usage(self._tag.name, issued.used_ratio)
        return issued.algorithm, Batch("int64", tuple(issued.blocks))


def _issuing_of(runtime: Any) -> Issuing:
    """The logic over a runtime that has an issuer, tags, policies and an injector."""

    def router_for(tag: Any) -> _OfIssuer:
        if runtime.issuer is None:
            raise _not_ready(runtime) or problems.unavailable("not-ready", "starting")
        return _OfIssuer(runtime, tag)

    def ranges(tag: Any, count: int) -> Any:
        router_for(tag)
        return runtime.issuer.buffer(tag).blocks(count)

    return Issuing(
        tags=runtime.tags,
        router_for=router_for,
        ranges=ranges,
        policies=runtime.policies,
        injector=runtime.injector,
        observed=runtime.metrics.request,
    )
