"""Migrations and segment allocation on a real Postgres, by several processes at once."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from app.migrate import main, upgrade
from app.storage.models import DATACENTER_SPAN, Base
from app.storage.segments import SegmentExhaustedError, allocate
from app.storage.tags import TagDirectory

pytestmark = pytest.mark.integration

ALLOCATE = """
import sys
from app.storage import database, segments
from app.storage.tags import Tag
engine = database.connect(sys.argv[1].replace("postgresql://", "postgresql+psycopg://"))
tag = Tag(int(sys.argv[2]), "orders", "segment", 10)
for _ in range(40):
    taken = segments.allocate(engine, tag, 0)
    print(taken.start, taken.stop)
"""


def tag_of(engine, name="orders"):
    return TagDirectory(engine, lambda: 0.0).find(name)


def test_migrations_run_at_once_by_four_hosts_apply_once(postgres, engine, monkeypatch):
    command = [sys.executable, "-m", "app.migrate", "upgrade"]
    environment = {"PLUMBLINE_DATABASE_URL": postgres.url, "PATH": "/usr/bin"}
    with ThreadPoolExecutor(4) as pool:
        runs = list(
            pool.map(
                lambda _: subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True, timeout=120
                ),
                range(4),
            )
        )
    assert sorted("(unchanged)" in run.stdout for run in runs) == [False, True, True, True]
    with engine.connect() as connection:
        tags = dict(connection.execute(text("SELECT name, algorithm FROM biz_tags")).all())
    assert tags["orders"] == "segment"
    assert tags["events"] == "snowflake"


def test_the_migrated_schema_is_the_models_schema(engine):
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_second_upgrade_changes_nothing_not_even_a_changed_tag(engine):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE biz_tags SET step = 77 WHERE name = 'orders'"))
    before, after = upgrade(engine)
    assert before == after
    assert tag_of(engine).step == 77


def test_a_database_that_does_not_answer_is_said_and_exits_1(monkeypatch, capsys):
    monkeypatch.setenv("PLUMBLINE_DATABASE_URL", "postgresql://ids:x@127.0.0.1:9/ids")
    assert main(["upgrade"]) == 1
    assert "the database did not do it" in capsys.readouterr().err


def test_ranges_drawn_by_four_processes_have_no_duplicate_and_no_gap(postgres, engine):
    upgrade(engine)
    tag = tag_of(engine)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ALLOCATE, postgres.url, str(tag.id)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    ranges = sorted(tuple(map(int, line.split())) for out in outputs for line in out.splitlines())
    assert len(ranges) == 160
    assert ranges[0][0] == 1
    assert all(one[1] == following[0] for one, following in itertools.pairwise(ranges))


def test_data_centres_draw_from_ranges_of_their_own(engine):
    upgrade(engine)
    tag = tag_of(engine)
    assert allocate(engine, tag, 0).start == 1
    last = allocate(engine, tag, 7)
    assert last.start == 7 * DATACENTER_SPAN + 1
    assert last.stop < 2**63


def test_a_used_up_range_is_an_error_and_nothing_is_issued_twice(engine):
    upgrade(engine)
    tag = tag_of(engine)
    allocate(engine, tag, 0)
    with engine.begin() as connection:
        connection.execute(text("UPDATE segments SET next_id = last_id - 5"))
    with pytest.raises(SegmentExhaustedError, match="used up"):
        allocate(engine, tag, 0)


def test_the_db_fault_is_a_plan_that_compares_every_row_with_every_other(engine):
    from app.faults.causes import SLOW_PLAN

    with engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN {SLOW_PLAN.text}"), {"rows": 1000}).scalars().all()
    assert any("Nested Loop" in line for line in plan)
    assert not any("Hash" in line or "Merge" in line for line in plan)
