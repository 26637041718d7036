"""A tag's name is unique in its workspace; what helped a version of revision 0001 goes.

That version looks tags up by name alone and makes segments with wider spans, so it must not run any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
phase = "contract"
widens = ()

TAGS_WORKSPACE = """
CREATE OR REPLACE FUNCTION biz_tags_group() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT workspace_id INTO NEW.workspace_id FROM groups WHERE id = NEW.group_id;
    RETURN NEW;
END $$"""


def upgrade() -> None:
    """Require group and workspace; names by workspace; spans checked."""
    op.drop_constraint("biz_tags_name_key", "biz_tags")
    op.create_unique_constraint("biz_tags_workspace_id_name_key", "biz_tags", ["workspace_id", "name"])
    op.alter_column("biz_tags", "group_id", existing_type=sa.BigInteger, nullable=False)
    op.alter_column("biz_tags", "workspace_id", existing_type=sa.BigInteger, nullable=False)
    op.execute(TAGS_WORKSPACE)
    op.execute("DROP TRIGGER segments_span ON segments")
    op.execute("DROP FUNCTION segments_span()")
    op.create_check_constraint("segments_last_id", "segments", "last_id < 72057594037927936")
