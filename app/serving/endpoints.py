"""Every blueprint beside issuing, health and documentation, with what it needs of the runtime."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint

from app.jobs.export import KIND
from app.jobs.queue import JobQueue
from app.jobs.store import LocalStore
from app.server.api import (
    alerts,
    audit,
    exports,
    faults,
    groups,
    keys,
    plugins,
    snapshots,
    tags,
    workspaces,
)

if TYPE_CHECKING:
    from app.serving.runtime import Runtime


def blueprints(runtime: "Runtime") -> list[Blueprint]:
    """In the order of the documentation."""
    engine, record = runtime.stores.engine, runtime.audit.record
    directory, registry = runtime.access.directory, runtime.plugins

    def known(name: str) -> bool:
        return name in registry

    made = [
        workspaces.blueprint(engine, record, directory.revoked),
        groups.blueprint(engine, record),
        tags.blueprint(engine, record, runtime.tag_changed, known),
        keys.blueprint(engine, record, directory.revoked, directory.changed),
        audit.blueprint(engine),
        alerts.blueprint(engine, count=runtime.metrics.operations.alert),
        snapshots.blueprint(
            engine, record, runtime.tag_changed, known, count=runtime.metrics.operations.snapshot
        ),
        plugins.blueprint(registry, runtime.announce_plugins),
        faults.blueprint(
            runtime.faults if runtime.settings.faults_allowed else None, lambda: datetime.now(UTC), record
        ),
    ]
    if runtime.settings.jobs_dir is not None:
        queue, store = JobQueue(engine, KIND), LocalStore(runtime.settings.jobs_dir)
        made.append(exports.blueprint(queue, store, runtime.tags.find, record))
    return made
