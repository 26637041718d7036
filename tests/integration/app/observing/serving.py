"""A small service of the real parts, for gunicorn: `tests.integration.app.observing.serving:app`.

POST /v1/ids/TAG suffers the faults that are set, asks Postgres, Redis and the policy service, and answers the
process id. Everything is made when a worker imports this, after the fork.
"""

import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import redis
from flask import Flask, Response, g
from sqlalchemy import text

from app.faults import causes
from app.faults.injector import Causes, Injector
from app.faults.lookup import LookupTables
from app.faults.switch import FaultSwitch, server_identity
from app.observing import data_spans, http, tracing
from app.observing.metrics import Metrics
from app.policies import DependencyFailedError, Policies
from app.server import logs, problems
from app.server.admission import Admission
from app.server.api import faults as faults_api
from app.server.logs import logger
from app.server.operation import install
from app.storage import database

logs.configure("info", slot="green", version="1.2.3")
metrics = Metrics("green", "1.2.3")
traces = tracing.start(
    os.environ.get("OTLP_URL"), share=0.0, version="1.2.3", slot="green", process=os.getpid()
)
engine = database.connect(os.environ["DATABASE_URL"])
cache = redis.Redis(host=os.environ["REDIS_HOST"], port=6379) if "REDIS_HOST" in os.environ else None
if traces:
    data_spans.trace_postgres(engine)
    if cache:
        data_spans.trace_redis(cache)
policies = Policies(os.environ["DOWNSTREAM_URL"], time.monotonic, lambda why: None)
tables = LookupTables(engine, "green_0")
contention = causes.Contention()
injector = Injector(
    (),
    Causes(
        compute=causes.compute,
        slow_plan=lambda rows: causes.slow_plan(engine, rows),
        dependency=policies.ask,
        lock=contention.suffer,
        missing_index=tables.look_up,
    ),
    random.random,
    metrics.fault_struck,
    tracing.fault_span,
)
switch = FaultSwitch(
    Path(os.environ["RUNTIME_DIR"]) / "faults-green.json",
    server=server_identity(os.getppid()),
    set_=injector.set,
    tables=tables,
    show=metrics.faults_active,
    failed=lambda error: logger().error("faults not taken up", error=str(error)),
)
switch.start()

app = Flask("test")
http.install(app, traces)
principal = SimpleNamespace(key_id=1, workspace_id=1, name="drill", scopes={"operate"})
install(app, admission=Admission(lambda token: principal))
app.register_blueprint(faults_api.blueprint(switch, lambda: datetime.now(UTC)))


@app.post("/v1/ids/<tag>")
def issue(tag: str) -> Response:
    g.touched = []
    with tracing.span("authenticate"):
        pass
    try:
        injector.strike(tag, g.touched)
    except DependencyFailedError as error:
        raise problems.unavailable("dependency-failed", "the policy service failed") from error
    with tracing.span("segment", {"plumbline.tag": tag}), engine.connect() as connection:
        connection.execute(text("SELECT :tag"), {"tag": tag})
    if cache:
        cache.get(f"segment:{tag}:0")
    policies.of(tag)
    logger().info("issued", tag=tag)
    return Response(str(os.getpid()), headers={"X-Pid": str(os.getpid())})


@app.get("/metrics")
def show_metrics() -> Response:
    return Response(metrics.render())
