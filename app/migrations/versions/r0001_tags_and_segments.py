"""Tags, and how far each data centre has handed out their segments."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "biz_tags",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False, server_default="10000"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("algorithm IN ('segment', 'snowflake')", name="biz_tags_algorithm"),
        sa.CheckConstraint("step BETWEEN 1 AND 100000000", name="biz_tags_step"),
    )
    op.create_table(
        "segments",
        sa.Column("tag_id", sa.BigInteger, sa.ForeignKey("biz_tags.id"), primary_key=True),
        sa.Column("datacenter", sa.SmallInteger, primary_key=True),
        sa.Column("next_id", sa.BigInteger, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("datacenter BETWEEN 0 AND 7", name="segments_datacenter"),
        sa.CheckConstraint("next_id >= 1", name="segments_next_id"),
    )
