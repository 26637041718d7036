"""The db fault's cause, as Postgres plans it. Schema and storage are tested in storage/."""

import pytest
from sqlalchemy import text

from app.migrate import upgrade

pytestmark = pytest.mark.integration


def test_the_db_fault_is_a_plan_that_compares_every_row_with_every_other(engine):
    from app.faults.causes import SLOW_PLAN

    upgrade(engine)
    with engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN {SLOW_PLAN.text}"), {"rows": 1000}).scalars().all()
    assert any("Nested Loop" in line for line in plan)
    assert not any("Hash" in line or "Merge" in line for line in plan)
