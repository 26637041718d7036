"""GET /healthz, /readyz, /metrics: for the edge, for releases, for Prometheus. No key."""

from collections.abc import Callable

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from app.server.operation import Content, operation
from app.server.problems import ProblemError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Healthy(BaseModel):
    """The process runs."""

    status: str = Field("ok")
    version: str
    slot: str


class Ready(BaseModel):
    """The process can issue IDs."""

    status: str = Field("ready")
    version: str
    worker: int | None = Field(description="the worker id that the process holds")


def blueprint(
    *,
    version: str,
    slot: str,
    worker: Callable[[], int | None],
    not_ready: Callable[[], ProblemError | None],
    metrics: Callable[[], bytes],
) -> Blueprint:
    """not_ready: the problem to answer with, None when ready. metrics: Prometheus's text format."""
    made = Blueprint("health", __name__)

    @made.get("/healthz")
    @operation(summary="Whether the process runs", scope=None, answers={200: Healthy}, group="Health")
    def healthz() -> Healthy:
        return Healthy(status="ok", version=version, slot=slot)

    @made.get("/readyz")
    @operation(
        summary="Whether it can issue IDs",
        scope=None,
        answers={200: Ready},
        problems=("not-ready", "worker-ids-exhausted"),
        group="Health",
    )
    def readyz() -> Ready:
        if problem := not_ready():
            raise problem
        return Ready(status="ready", version=version, worker=worker())

    @made.get("/metrics")
    @operation(
        summary="Metrics for Prometheus",
        scope=None,
        answers={200: Content("The text format", {"text/plain": {"type": "string"}})},
        group="Health",
    )
    def show_metrics() -> Response:
        return Response(metrics(), content_type=METRICS_TYPE)

    return made
