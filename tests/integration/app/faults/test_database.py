"""The database faults are bad plans, seen in EXPLAIN and in time, on a real Postgres."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app.faults.causes import SLOW_PLAN, slow_plan
from app.faults.lookup import ROWS, LookupTables, code_of

pytestmark = pytest.mark.integration


def plan(engine, query: str, **values) -> str:
    with engine.connect() as connection:
        return "\n".join(connection.execute(text(f"EXPLAIN {query}"), values).scalars())


def seconds(call, *arguments, **more) -> float:
    """The best of three, so that a busy machine counts less."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        call(*arguments, **more)
        best = min(best, time.perf_counter() - began)
    return best


def tables_in(engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE tablename LIKE 'fault%'"))
        return sorted(found.scalars())


def test_the_slow_plan_compares_every_row_with_every_other_and_its_time_grows_with_the_square(engine):
    shown = plan(engine, SLOW_PLAN.text, rows=1000)
    assert "Nested Loop" in shown
    assert "Hash" not in shown
    assert "Merge" not in shown
    assert seconds(slow_plan, engine, 2_000) > 6 * seconds(slow_plan, engine, 500)


def test_without_the_index_the_same_query_reads_the_whole_table(engine):
    tables = LookupTables(engine, "green_0")
    tables.ensure()
    with_index = plan(engine, tables.query(with_index=True), code=code_of(7))
    without = plan(engine, tables.query(with_index=False), code=code_of(7))
    assert "Index" in with_index
    assert "Seq Scan" not in with_index
    assert "Seq Scan on fault_lookup_green_0_bare" in without
    assert "Index" not in without
    with engine.connect() as connection:
        for with_index in (True, False):
            query = text(tables.query(with_index=with_index))
            assert connection.execute(query, {"code": code_of(ROWS)}).scalars().all() == [ROWS]
    normal = seconds(tables.look_up, 5, with_index=True)
    struck = seconds(tables.look_up, 5)
    assert struck > 5 * normal, f"{normal * 1e3:.1f} ms with the index, {struck * 1e3:.1f} ms without"
    assert seconds(tables.look_up, 20) > 2 * struck, "more look-ups, more time"


def test_tables_are_made_once_by_many_and_go_without_taking_those_of_another_server(engine):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: LookupTables(engine, "green_0", rows=1000).ensure(), range(4)))
    mine, other = LookupTables(engine, "green_0", rows=1000), LookupTables(engine, "blue_0", rows=1000)
    other.ensure()
    assert len(tables_in(engine)) == 4
    mine.drop()
    mine.drop()
    assert tables_in(engine) == ["fault_lookup_blue_0", "fault_lookup_blue_0_bare"]
    other.look_up(3)


def test_a_request_that_is_struck_just_after_the_fault_ended_goes_on(engine):
    LookupTables(engine, "green_0").look_up(3)


def test_an_owner_that_could_be_more_than_a_name_is_refused(engine):
    with pytest.raises(ValueError, match="owner"):
        LookupTables(engine, "x; DROP TABLE biz_tags")
