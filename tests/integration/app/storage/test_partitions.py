"""The allocations' partitions are there before they are needed, and nothing fails when they aren't."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import text

from app.migrate import differences
from app.storage import partitions

pytestmark = pytest.mark.integration


def add(engine, at: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO segment_allocations (tag_id, datacenter, first, last, holder, allocated_at) "
                "SELECT id, 0, 1, 2, 'me', CAST(:at AS timestamptz) FROM biz_tags WHERE name = 'orders'"
            ),
            {"at": at},
        )


def where(engine) -> list[str]:
    with engine.connect() as connection:
        query = "SELECT tableoid::regclass::text FROM segment_allocations ORDER BY allocated_at"
        return list(connection.execute(text(query)).scalars())


def test_months_ahead_are_made_over_the_end_of_a_year_and_once(engine):
    made = partitions.ensure(engine, 3, today=date(2026, 11, 30))
    assert made == [
        "segment_allocations_y2026m11",
        "segment_allocations_y2026m12",
        "segment_allocations_y2027m01",
        "segment_allocations_y2027m02",
    ]
    assert partitions.ensure(engine, 3, today=date(2026, 11, 1)) == []
    assert partitions.ensure(engine, 3, today=date(2026, 12, 1)) == ["segment_allocations_y2027m03"]
    assert len(partitions.existing(engine)) == 5


def test_a_row_lands_in_its_month_by_utc(engine):
    partitions.ensure(engine, 2, today=date(2026, 12, 5))
    add(engine, "2026-12-31 23:59:59.999+00")
    add(engine, "2027-01-01 00:00:00+00")
    add(engine, "2027-02-01 00:30:00+01")
    assert where(engine) == [
        "segment_allocations_y2026m12",
        "segment_allocations_y2027m01",
        "segment_allocations_y2027m01",
    ]


def test_a_row_without_a_partition_is_kept_and_moves_when_there_is_one(engine):
    add(engine, "2031-05-05 12:00+00")
    add(engine, "2031-06-05 12:00+00")
    assert partitions.in_default(engine) == 2
    partitions.ensure(engine, 0, today=date(2031, 5, 1))
    assert where(engine) == ["segment_allocations_y2031m05", "segment_allocations_default"]
    assert partitions.in_default(engine) == 1


def test_eight_at_once_make_each_partition_once(engine):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: partitions.ensure(engine, 4, today=date(2026, 10, 1)), range(8)))
    assert sorted(name for names in made for name in names) == partitions.existing(engine)


def test_partitions_are_not_a_difference_from_the_models(engine):
    partitions.ensure(engine, 2, today=date(2026, 12, 5))
    with engine.connect() as connection:
        assert differences(connection) == []


def test_old_records_are_found_by_their_month_alone(engine):
    partitions.ensure(engine, 2, today=date(2026, 12, 5))
    january = "allocated_at >= '2027-01-01' AND allocated_at < '2027-02-01'"
    query = f"EXPLAIN SELECT * FROM segment_allocations WHERE {january}"
    with engine.connect() as connection:
        plan = "\n".join(connection.execute(text(query)).scalars())
    assert "y2027m01" in plan
    assert "y2026m12" not in plan
