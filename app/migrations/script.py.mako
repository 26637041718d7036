"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
phase = "expand"  # or "contract": breaks a version that still runs


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
