"""Ranges are handed out once each, on a real Postgres."""

import itertools
import multiprocessing
import random
import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.storage import capacity, database, segments, tails
from app.storage.models import DATACENTER_SPAN, owner
from app.storage.segments import Mark, SegmentExhaustedError, allocate
from app.storage.tags import TagDirectory

pytestmark = pytest.mark.integration


def tag_of(engine, name="orders", **config):
    tags = {tag.name: tag for tag in TagDirectory(engine, lambda: 0.0).load()}
    tag = tags[name]
    return type(tag)(
        tag.id, tag.workspace_id, tag.workspace, tag.group, tag.name, tag.config.model_copy(update=config)
    )


def handed_out(engine):
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT datacenter, first, last, holder FROM segment_allocations ORDER BY 1, 2")
        )
        return [tuple(row) for row in rows]


def test_a_range_and_its_record_are_one_transaction(engine):
    taken = allocate(engine, tag_of(engine), 3, 100, holder="me")
    first = 3 * DATACENTER_SPAN + 1
    assert taken == range(first, first + 100)
    assert handed_out(engine) == [(3, first, first + 99, "me")]


def test_without_a_record_nothing_is_handed_out(engine):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 10, holder="me")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE segment_allocations ADD CHECK (holder <> 'refused')"))
    with pytest.raises(SQLAlchemyError):
        allocate(engine, tag, 0, 10, holder="refused")
    assert allocate(engine, tag, 0, 10, holder="me") == range(11, 21)


def test_a_tail_is_handed_out_before_anything_fresh_and_once(engine):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 100, holder="a")
    assert tails.give_back(engine, tag.id, 0, [range(41, 51), range(91, 101), range(5, 5)]) == 20
    assert tails.count(engine, tag.id, 0) == 20
    drawn = [allocate(engine, tag, 0, 100, holder="b") for _ in range(3)]
    assert drawn == [range(41, 51), range(91, 101), range(101, 201)]


def test_a_tail_longer_than_wanted_is_cut_and_one_too_short_is_left(engine):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 100, holder="a")
    tails.give_back(engine, tag.id, 0, [range(61, 101)])
    assert allocate(engine, tag, 0, 30, holder="b", least=30) == range(61, 91)
    assert allocate(engine, tag, 0, 30, holder="b", least=30) == range(101, 131)
    assert allocate(engine, tag, 0, 30, holder="b") == range(91, 101)


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        ([range(1, 11), range(5, 20)], "overlap"),
        ([range(95, 111)], "not handed out"),
        ([range(DATACENTER_SPAN + 1, DATACENTER_SPAN + 5)], "not handed out"),
        ([range(0, 5)], "not handed out"),
        ([range(1, 50, 2)], "not handed out"),
        ([range(35, 45)], "given back already"),
    ],
)
def test_what_was_not_handed_out_or_is_there_already_cannot_be_given_back(engine, ranges, why):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 100, holder="a")
    tails.give_back(engine, tag.id, 0, [range(41, 51)])
    with pytest.raises(tails.NotGivenOutError, match=why):
        tails.give_back(engine, tag.id, 0, ranges)
    assert tails.count(engine, tag.id, 0) == 10


def test_ids_end_at_the_maximum_with_none_skipped_and_then_a_clear_error(engine):
    tag = tag_of(engine, max_id=25)
    drawn = [allocate(engine, tag, 0, 10, holder="a") for _ in range(3)]
    assert drawn == [range(1, 11), range(11, 21), range(21, 26)]
    with pytest.raises(SegmentExhaustedError, match="max_id is 25"):
        allocate(engine, tag, 0, 10, holder="a")
    assert len(handed_out(engine)) == 3


def test_ids_end_at_the_spans_end(engine):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 10, holder="a")
    with engine.begin() as connection:
        connection.execute(text("UPDATE segments SET next_id = last_id - 4"))
    assert len(allocate(engine, tag, 0, 10, holder="a")) == 5
    with pytest.raises(SegmentExhaustedError, match="span ends"):
        allocate(engine, tag, 0, 10, holder="a")


def test_when_the_own_data_centre_is_used_up_another_ones_ids_are_taken(engine):
    tag = tag_of(engine, max_id=DATACENTER_SPAN + 15)
    local = segments.allocate_local_first(engine, tag, 1, 10, holder="a")
    assert owner(local.start) == 1
    rest = segments.allocate_local_first(engine, tag, 1, 10, holder="a")
    assert len(rest) == 5
    assert segments.allocate_local_first(engine, tag, 1, 10, holder="a") == range(1, 11)


def test_capacity_is_the_used_share_of_what_the_tag_may_have(engine):
    tag = tag_of(engine, max_id=1_000)
    allocate(engine, tag, 0, 900, holder="a")
    tails.give_back(engine, tag.id, 0, [range(801, 901)])
    (found,) = capacity.check(engine, 0, [tag])
    assert found.used_ratio == pytest.approx(0.8)
    assert found.left == 200
    (nothing,) = capacity.check(engine, 4, [tag])
    assert nothing.used_ratio == 1
    rows = capacity.check(engine, 5)
    assert [(one.tag.name, one.used_ratio) for one in rows] == [("orders", 0.0)]


def test_after_a_restore_segments_are_past_the_marks_and_no_tail_is_left(engine):
    tag = tag_of(engine)
    allocate(engine, tag, 0, 100, holder="a")
    allocate(engine, tag, 2, 100, holder="a")
    tails.give_back(engine, tag.id, 0, [range(91, 101)])
    lost = Mark("default", "invoices", 0, 500)
    kept = [
        Mark("default", "orders", 0, 5_001),
        Mark("default", "orders", 1, DATACENTER_SPAN + 77),
        lost,
    ]
    done = segments.bump_past(engine, kept, margin=10)
    assert (done.moved, done.tails_dropped, done.unknown) == (2, 1, (lost,))
    assert [mark[:3] for mark in done.unmarked] == [("default", "orders", 2)]
    assert allocate(engine, tag, 0, 10, holder="b").start == 5_011
    assert allocate(engine, tag, 1, 10, holder="b").start == DATACENTER_SPAN + 87
    again = segments.bump_past(engine, kept, margin=10)
    assert again.moved == 0
    assert allocate(engine, tag, 0, 10, holder="b").start == 5_021


def test_the_marks_of_one_moment_are_enough_to_bump_with(engine):
    tag = tag_of(engine)
    taken = allocate(engine, tag, 6, 50, holder="a")
    kept = segments.marks(engine)
    assert kept == [Mark("default", "orders", 6, taken.stop)]
    with engine.begin() as connection:  # as a backup from before would have it
        connection.execute(text("DELETE FROM segments"))
    segments.bump_past(engine, kept)
    assert allocate(engine, tag, 6, 50, holder="a").start == taken.stop


def _draw(url: str, number: int, ranges: int, done: "multiprocessing.Queue", began) -> None:
    """One process: draws ranges in two data centres, gives a part of some back, tells what it used."""
    engine = database.connect(url, pool_min=1, pool_max=2, acquire_s=5)
    draw, used, failed = random.Random(number), [], 0
    tag = tag_of(engine)
    began.wait(60)
    try:
        while len(used) < ranges:
            datacenter = draw.randrange(2)
            try:
                taken = allocate(engine, tag, datacenter, draw.randint(1, 50), holder=str(number))
            except SQLAlchemyError:
                failed += 1
                time.sleep(0.2)
                continue
            keep = draw.randint(1, len(taken)) if draw.random() < 0.4 else len(taken)
            used.append((datacenter, taken.start, taken.start + keep))
            try:
                tails.give_back(engine, tag.id, datacenter, [taken[keep:]])
            except SQLAlchemyError:
                failed += 1  # lost, as it must be: whether it was done isn't known
            time.sleep(0.01)
    finally:  # also when it failed, so that the test needn't wait for it
        done.put((number, used, failed))
        engine.dispose()


def test_eight_processes_in_two_data_centres_never_share_an_id_while_postgres_restarts(server, url, engine):
    fork = multiprocessing.get_context("fork")
    done, began = fork.Queue(), fork.Barrier(9)
    running = [fork.Process(target=_draw, args=(url, number, 63, done, began)) for number in range(8)]
    for process in running:
        process.start()
    began.wait(60)
    restart = threading.Timer(0.5, server.restart)
    restart.start()
    results = [done.get(timeout=120) for _ in running]
    for process in running:
        process.join(timeout=30)
    restart.join()
    used = sorted(one for _, ranges, _ in results for one in ranges)
    assert len(used) == 8 * 63
    for one, following in itertools.pairwise(used):
        assert one[0] < following[0] or one[2] <= following[1]
    assert sum(failed for *_, failed in results) > 0, "the restart met nobody"
    _assert_the_books_agree(engine, used)


def _assert_the_books_agree(engine, used) -> None:
    """What was used is recorded, and every ID below the mark was handed out."""
    for datacenter in range(2):
        with engine.connect() as connection:
            next_id = connection.execute(
                text("SELECT next_id FROM segments WHERE datacenter = :dc"), {"dc": datacenter}
            ).scalar_one()
        recorded = [(first, last + 1) for dc, first, last, _ in handed_out(engine) if dc == datacenter]
        ever = sorted(recorded)
        reach = datacenter * DATACENTER_SPAN + 1
        for first, stop in ever:
            assert first <= reach, "an ID below the mark was never handed out"
            reach = max(reach, stop)
        assert reach == next_id
        fresh = next_id - datacenter * DATACENTER_SPAN - 1
        again = sum(stop - first for first, stop in recorded) - fresh  # given back and drawn again
        mine = sum(stop - first for dc, first, stop in used if dc == datacenter)
        assert again >= 0
        assert mine <= fresh
        for _, first, stop in (one for one in used if one[0] == datacenter):
            assert any(a <= first and stop <= b for a, b in recorded)
