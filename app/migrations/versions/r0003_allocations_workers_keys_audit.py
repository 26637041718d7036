"""Allocations by month, tails, worker epochs, keys, audit, snapshots, jobs; segments below 2**56.

Data centre d now owns [d * 2**53 + 1, (d + 1) * 2**53 - 1] of each tag, so that no segment's ID can be a
snowflake's. A version of revision 0001 made rows with spans of 2**60: its optimistic lock fails once and it
goes on in the new span, and a trigger puts rows that it still inserts there. Values that it issued above
2**60 stay as they are; none is issued again, as nothing allocates there any more.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0003"
down_revision = "0002"
phase = "expand"
widens = ()

# Data centre 0 began at 1 under both, so its mark is right; the others' new spans were never used.
SPANS = """
UPDATE segments SET version = version + 1, last_id = (datacenter + 1) * 9007199254740992 - 1,
    next_id = CASE WHEN datacenter = 0 THEN next_id ELSE datacenter * 9007199254740992 + 1 END
WHERE last_id >= 72057594037927936"""
SEGMENTS_SPAN = """
CREATE FUNCTION segments_span() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_id >= 72057594037927936 THEN
        NEW.next_id := NEW.datacenter * 9007199254740992 + 1;
        NEW.last_id := (NEW.datacenter + 1) * 9007199254740992 - 1;
    END IF;
    RETURN NEW;
END $$"""


def _id() -> sa.Column:
    return sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)


def _text(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False, **more)


def _number(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.BigInteger, nullable=False, **more)


def _json(name: str) -> sa.Column:
    return sa.Column(name, JSONB, nullable=False, server_default="{}")


def _now(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), **more)


def _maybe_time(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True))


def _workspace() -> sa.Column:
    return sa.Column("workspace_id", sa.BigInteger, sa.ForeignKey("workspaces.id"), nullable=False)


def _tag(**more: object) -> sa.Column:
    return sa.Column("tag_id", sa.BigInteger, sa.ForeignKey("biz_tags.id"), nullable=False, **more)


def _datacenter(**more: object) -> sa.Column:
    return sa.Column("datacenter", sa.SmallInteger, nullable=False, **more)


def _checks(table: str, *ranges: str) -> list[sa.CheckConstraint]:
    checks = [sa.CheckConstraint("datacenter BETWEEN 0 AND 7", name=f"{table}_datacenter")]
    return checks + [sa.CheckConstraint(condition, name=f"{table}_range") for condition in ranges]


def upgrade() -> None:
    """Make the tables; put segments into their spans."""
    _segments()
    op.create_table(
        "worker_epochs",
        _datacenter(primary_key=True),
        sa.Column("worker", sa.SmallInteger, primary_key=True),
        _number("epoch"),
        _text("holder"),
        _number("used_until_ms", server_default="0"),
        _number("began_ms", server_default="0"),
        _now("updated_at"),
        *_checks("worker_epochs"),
        sa.CheckConstraint("worker BETWEEN 0 AND 255", name="worker_epochs_worker"),
        sa.CheckConstraint("epoch >= 1", name="worker_epochs_epoch"),
        sa.CheckConstraint("used_until_ms >= began_ms AND began_ms >= 0", name="worker_epochs_used_until_ms"),
    )
    _keys_and_audit()
    op.create_table(
        "snapshots",
        _id(),
        _workspace(),
        _text("name"),
        sa.Column("content", JSONB, nullable=False),
        _now("created_at"),
        _text("created_by"),
        sa.UniqueConstraint("workspace_id", "name", name="snapshots_workspace_id_name_key"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 128", name="snapshots_name"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        _workspace(),
        _text("kind"),
        _text("state"),
        _json("request"),
        sa.Column("result", JSONB),
        _now("created_at"),
        _maybe_time("started_at"),
        _maybe_time("finished_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.Text),
    )
    op.create_index("jobs_state_created_at_idx", "jobs", ["state", "created_at"])
    op.create_index("jobs_workspace_id_created_at_idx", "jobs", ["workspace_id", "created_at"])


def _segments() -> None:
    op.create_table(
        "segment_tails",
        _id(),
        _tag(),
        _datacenter(),
        _number("first"),
        _number("last"),
        _now("created_at"),
        *_checks("segment_tails", "first >= 1 AND last >= first"),
    )
    op.create_index("segment_tails_tag_id_datacenter_idx", "segment_tails", ["tag_id", "datacenter"])
    op.create_table(
        "segment_allocations",
        _tag(primary_key=True),
        _datacenter(primary_key=True),
        _number("first", primary_key=True),
        _number("last"),
        _text("holder"),
        _now("allocated_at", primary_key=True),
        *_checks("segment_allocations", "first >= 1 AND last >= first"),
        postgresql_partition_by="RANGE (allocated_at)",
    )
    # Takes what no month's partition takes, so that an allocation never fails for want of one.
    op.execute("CREATE TABLE segment_allocations_default PARTITION OF segment_allocations DEFAULT")
    op.execute(SEGMENTS_SPAN)
    op.execute(
        "CREATE TRIGGER segments_span BEFORE INSERT ON segments FOR EACH ROW EXECUTE FUNCTION segments_span()"
    )
    op.execute(SPANS)


def _keys_and_audit() -> None:
    op.create_table(
        "api_keys",
        _id(),
        _workspace(),
        _text("name"),
        _text("prefix"),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        _now("created_at"),
        _maybe_time("expires_at"),
        _maybe_time("revoked_at"),
        sa.UniqueConstraint("sha256", name="api_keys_sha256_key"),
        sa.CheckConstraint("octet_length(sha256) = 32", name="api_keys_sha256"),
        sa.CheckConstraint(
            "cardinality(scopes) > 0 AND scopes <@ ARRAY['issue', 'read', 'admin', 'operate']",
            name="api_keys_scopes",
        ),
    )
    op.create_index("api_keys_workspace_id_idx", "api_keys", ["workspace_id"])
    op.create_table(
        "audit_events",
        _id(),
        _now("at"),
        sa.Column("workspace_id", sa.BigInteger),  # no foreign key: the record outlives the workspace
        _text("actor"),
        _text("action"),
        _text("target"),
        _text("result"),
        _text("request_id", server_default=""),
        _text("trace_id", server_default=""),
        _json("detail"),
    )
    op.create_index("audit_events_at_idx", "audit_events", ["at"])
    op.create_index("audit_events_workspace_id_at_idx", "audit_events", ["workspace_id", "at"])
