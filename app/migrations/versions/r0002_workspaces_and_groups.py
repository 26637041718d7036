"""Workspaces, groups, and a tag's whole configuration.

While a version of revision 0001 still runs it reads and inserts tags as before: a trigger puts a tag without
a group into default/default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
phase = "expand"
widens = ("biz_tags_algorithm",)

TAGS_GROUP = """
CREATE FUNCTION biz_tags_group() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.group_id IS NULL THEN
        SELECT g.id INTO NEW.group_id FROM groups g JOIN workspaces w ON w.id = g.workspace_id
            WHERE w.name = 'default' AND g.name = 'default';
    END IF;
    SELECT workspace_id INTO NEW.workspace_id FROM groups WHERE id = NEW.group_id;
    RETURN NEW;
END $$"""


def _json(name: str) -> sa.Column:
    return sa.Column(name, JSONB, nullable=False, server_default="{}")


def _time(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    """Make the tables, add the columns, and give what exists its place."""
    op.create_table(
        "schema_history",
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        _time("applied_at"),
        sa.CheckConstraint("phase IN ('expand', 'contract')", name="schema_history_phase"),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        _json("settings"),
        _time("created_at"),
        sa.UniqueConstraint("name", name="workspaces_name_key"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 128", name="workspaces_name"),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("workspace_id", sa.BigInteger, sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        _json("settings"),
        _time("created_at"),
        sa.UniqueConstraint("workspace_id", "name", name="groups_workspace_id_name_key"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 128", name="groups_name"),
    )
    op.execute("INSERT INTO workspaces (name) VALUES ('default')")
    op.execute(
        "INSERT INTO groups (workspace_id, name) SELECT id, 'default' FROM workspaces WHERE name = 'default'"
    )
    op.add_column("biz_tags", sa.Column("group_id", sa.BigInteger, sa.ForeignKey("groups.id")))
    op.add_column("biz_tags", sa.Column("workspace_id", sa.BigInteger, sa.ForeignKey("workspaces.id")))
    op.add_column("biz_tags", sa.Column("format", sa.Text, nullable=False, server_default="any"))
    op.add_column("biz_tags", _json("config"))
    op.add_column("biz_tags", sa.Column("version", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("biz_tags", _time("updated_at"))
    op.drop_constraint("biz_tags_algorithm", "biz_tags")
    op.create_check_constraint("biz_tags_algorithm", "biz_tags", "algorithm ~ '^[a-z][a-z0-9_]{0,31}$'")
    op.create_check_constraint("biz_tags_format", "biz_tags", "format IN ('any', 'int64', 'string', 'uuid')")
    op.create_index("biz_tags_group_id_idx", "biz_tags", ["group_id"])
    op.execute(TAGS_GROUP)
    op.execute(
        "CREATE TRIGGER biz_tags_group BEFORE INSERT OR UPDATE OF group_id ON biz_tags "
        "FOR EACH ROW EXECUTE FUNCTION biz_tags_group()"
    )
    # What the trigger does for new rows; it sets the workspace of these too.
    op.execute(
        "UPDATE biz_tags SET group_id = (SELECT g.id FROM groups g JOIN workspaces w "
        "ON w.id = g.workspace_id WHERE w.name = 'default' AND g.name = 'default')"
    )
