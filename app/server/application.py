"""The Flask application: IDs, health, metrics."""

import re
import time

import orjson
from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from app.ids import IdsUnavailableError, flatten
from app.issuing import Issued
from app.policies import DependencyFailedError
from app.server import problems
from app.server.admission import Admission
from app.server.logs import logger
from app.server.metrics import Metrics
from app.server.operation import install
from app.server.problems import ProblemError
from app.server.runtime import Runtime

MOST_IDS = 1_000
_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII)
_JSON = "application/json"


def create_app(runtime: Runtime) -> Flask:
    """The WSGI application over a runtime (started or not)."""
    app = Flask("plumbline", static_folder=None)
    settings, metrics = runtime.settings, runtime.metrics
    constant = {"X-Plumbline-Version": settings.version, "X-Plumbline-Slot": settings.slot}
    install(app, admission=Admission(lambda token: None), constant=constant)

    @app.post("/v1/ids/<tag>")
    def issue(tag: str) -> Response:
        return _answer(runtime, metrics, tag)

    @app.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "ok", "version": settings.version, "slot": settings.slot})

    @app.get("/readyz")
    def readyz() -> Response:
        if because := runtime.not_ready_because():
            raise problems.unavailable("not-ready", because)
        return _json({"status": "ready", "version": settings.version, "worker": runtime.worker})

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _answer(runtime: Runtime, metrics: Metrics, tag: str) -> Response:
    """Issue and count, whatever happens."""
    started = time.perf_counter()
    touched: list[str] = []
    g.touched = touched
    algorithm, outcome, count = "none", "error", 0
    try:
        issued = _issue(runtime, tag, touched)
        algorithm, outcome = issued.algorithm, "ok"
        ids = [str(value) for value in flatten(issued.blocks)]
        count = len(ids)
        if algorithm == "segment":
            metrics.segment_usage(tag, issued.used_ratio)
        return _json({"ids": ids, "algorithm": algorithm})
    except ProblemError as problem:
        outcome = "refused" if problem.status < 500 else "error"
        raise
    finally:
        metrics.request(algorithm, outcome, time.perf_counter() - started, count)


def _issue(runtime: Runtime, name: str, touched: list[str]) -> Issued:
    """The IDs, or a ProblemError. Input is checked before anything is touched."""
    count = _count(request.args.get("count", "1"))
    issuer = runtime.issuer
    if issuer is None:
        raise problems.unavailable("not-ready", runtime.not_ready_because() or "starting")
    try:
        tag = runtime.tags.find(name) if _TAG.fullmatch(name) else None
        if tag is None:
            raise problems.unknown_tag(name)
        runtime.injector.strike(name, touched)
        policy = runtime.policies.of(name)
        if not policy.enabled:
            raise problems.tag_disabled(name)
        if count > policy.max_count:
            raise problems.bad_count(count, policy.max_count)
        return issuer.issue(tag, count)
    except IdsUnavailableError as error:
        raise problems.unavailable("ids-unavailable", str(error)) from error
    except DependencyFailedError as error:
        raise problems.unavailable("dependency-failed", "the policy service failed") from error
    except SQLAlchemyError as error:
        logger().error("database failed", tag=name, error=str(error))
        raise problems.unavailable("database-unavailable", "the database does not answer") from error


def _count(given: str) -> int:
    if not _COUNT.fullmatch(given) or not 1 <= int(given) <= MOST_IDS:
        raise problems.bad_count(given, MOST_IDS)
    return int(given)


def _json(content: dict[str, object]) -> Response:
    return Response(orjson.dumps(content), content_type=_JSON)
