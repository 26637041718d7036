"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
phase = "expand"  # or "contract": breaks a version that still runs
widens = ()  # CHECK constraints that this revision replaces by ones that allow more


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
