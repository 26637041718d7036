"""Brings a database to this version's schema, and seeds it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from app.migrate import revisions
from app.storage.models import SCOPES, ApiKey, Base, BizTag, Group, SchemaHistory, Workspace

LOCK_KEY = 7_586_114_219  # any number, the same for all versions
LOCK_TIMEOUT_MS = 60_000
# A change of a table in use waits for open transactions, and everyone else waits behind it: not for long.
TABLE_LOCK_TIMEOUT_MS = 5_000
DEFAULT = "default"
SEEDED_TAGS = (
    {"name": "orders", "algorithm": "segment"},
    {"name": "events", "algorithm": "snowflake"},
    {"name": "smoke", "algorithm": "snowflake"},  # for checks after an installation
)
PARTITION = re.compile(r"segment_allocations_(default|y\d{4}m\d{2})")


class DatabaseAheadError(Exception):
    """A newer version changed the schema in a way that this version doesn't survive."""


@dataclass(frozen=True)
class Upgraded:
    """Revisions before and after (None: empty), and those left for `--contract`."""

    before: str | None
    after: str | None
    waiting: tuple[str, ...] = ()


def upgrade(engine: Engine, *, contract: bool = False, bootstrap_sha256: bytes | None = None) -> Upgraded:
    """Apply what is missing and seed what every installation has.

    Stops before the first contract revision unless `contract`; an empty database gets all, as no version runs
    on it. A database that a newer version expanded is left as it is; one that it contracted raises
    DatabaseAheadError. bootstrap_sha256: 32 octets of a key that may do everything in workspace `default`.
    """
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        # Held to the end of the transaction, so released even when this process is killed.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text(f"SET LOCAL lock_timeout = {TABLE_LOCK_TIMEOUT_MS}"))
        before = current(connection)
        if _is_ahead(before):
            _refuse_if_contracted(connection, str(before))
            return Upgraded(before, before)
        missing = revisions.after(before)
        due = missing if contract or before is None else _until_contract(missing)
        if due:
            config = revisions.configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, due[-1].id)
        _record(connection)
        _seed(connection, bootstrap_sha256)
        left = missing[len(due) :]
        return Upgraded(before, current(connection), tuple(one.id for one in left))


def current(connection: Connection) -> str | None:
    """The database's revision; None when it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def differences(connection: Connection) -> list[object]:
    """Where the database differs from the models, as alembic says it. The months' partitions don't count."""
    options = {"compare_type": True, "include_name": _not_a_partition}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def _not_a_partition(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and PARTITION.fullmatch(name or ""))


def _is_ahead(revision: str | None) -> bool:
    return revision is not None and revision not in {one.id for one in revisions.all_revisions()}


def _refuse_if_contracted(connection: Connection, revision: str) -> None:
    mine = [one.id for one in revisions.all_revisions()]
    newer = (
        select(SchemaHistory.revision)
        .where(SchemaHistory.phase == "contract", SchemaHistory.revision.not_in(mine))
        .order_by(SchemaHistory.revision)
    )
    contracted = connection.execute(newer).scalars().all()
    if contracted:
        raise DatabaseAheadError(
            f"the database is at revision {revision}; a newer version applied {', '.join(contracted)} "
            f"(contract), which this version (revision {revisions.head()}) does not survive. "
            "Install a version that has this revision, or restore a backup from before it"
        )


def _until_contract(missing: Sequence[revisions.Revision]) -> Sequence[revisions.Revision]:
    phases = [one.phase for one in missing]
    return missing[: phases.index("contract")] if "contract" in phases else missing


def _record(connection: Connection) -> None:
    missing = {one.id for one in revisions.after(current(connection))}
    applied = [
        {"revision": one.id, "phase": one.phase} for one in revisions.all_revisions() if one.id not in missing
    ]
    connection.execute(insert(SchemaHistory).values(applied).on_conflict_do_nothing())


def _seed(connection: Connection, bootstrap_sha256: bytes | None) -> None:
    connection.execute(insert(Workspace).values(name=DEFAULT).on_conflict_do_nothing())
    workspace = connection.execute(select(Workspace.id).where(Workspace.name == DEFAULT)).scalar_one()
    group = {"workspace_id": workspace, "name": DEFAULT}
    connection.execute(insert(Group).values(**group).on_conflict_do_nothing())
    group_id = connection.execute(select(Group.id).filter_by(**group)).scalar_one()
    tags = [{**tag, "group_id": group_id} for tag in SEEDED_TAGS]
    connection.execute(insert(BizTag).values(tags).on_conflict_do_nothing())
    if bootstrap_sha256 is not None:
        key = {
            "workspace_id": workspace, "name": "bootstrap", "prefix": "bootstrap",
            "sha256": bootstrap_sha256, "scopes": list(SCOPES),
        }  # fmt: skip
        connection.execute(insert(ApiKey).values(**key).on_conflict_do_nothing())
