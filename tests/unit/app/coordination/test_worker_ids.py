"""The order in which worker ids are tried, and where a tenure begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.coordination.worker_ids import Stamp, candidates, start_after_ms

NOW = 1_000_000


def order(held=(), stamps=None, own=None, own_used=0, workers=6):
    return candidates(held, stamps or {}, own=own, own_used_until_ms=own_used, now_ms=NOW, workers=workers)


def test_own_then_returned_oldest_first_then_never_used_then_left_behind_then_the_future():
    stamps = {
        0: Stamp(1, 500, exact=False),
        1: Stamp(1, 400, exact=True),
        2: Stamp(1, 300, exact=True),
        3: Stamp(1, NOW + 2_000, exact=True),
    }
    assert order(stamps=stamps, own=4, own_used=700) == [4, 2, 1, 5, 0, 3]


def test_the_own_id_comes_last_when_its_stamp_lies_more_than_a_second_ahead():
    assert order(own=4, own_used=NOW + 1_000)[0] == 4
    assert order(own=4, own_used=NOW + 1_001)[-1] == 4


@given(
    st.sets(st.integers(0, 9)), st.dictionaries(st.integers(0, 9), st.builds(Stamp, *[st.integers(0, 9)] * 2))
)
def test_every_free_id_comes_once_and_no_held_one(held, stamps):
    found = order(held, stamps, workers=10)
    assert sorted(found) == sorted(set(range(10)) - held)


@pytest.mark.parametrize(
    "stamps, epoch, reserved, expected",
    [
        ([], 0, 0, 0),
        ([], 4, 90, 90),
        ([Stamp(4, 50)], 4, 90, 90),
        ([Stamp(4, 90)], 4, 50, 90),
        ([Stamp(4, 50, True)], 4, 90, 50),
        ([Stamp(4, 50, True), Stamp(4, 95)], 4, 90, 50),
        ([Stamp(4, 50, True)], 5, 90, 90),
        ([Stamp(4, 50, True)], 5, 40, 50),
        ([Stamp(4, 99, True), Stamp(5, 50, True)], 5, 70, 99),
        ([Stamp(7, 50, True)], 5, 90, 90),
    ],
    ids=[
        "nothing known", "only Postgres", "Postgres higher", "etcd higher", "the final one counts",
        "what was reserved doesn't", "a later epoch left no stamp", "nor reserved anything",
        "an older one counts too", "Postgres is older",
    ],
)  # fmt: skip
def test_a_tenure_starts_after_all_that_may_have_been_used(stamps, epoch, reserved, expected):
    assert start_after_ms(stamps, epoch, reserved) == expected


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"epoch": 1}', '{"epoch": "x", "used_until_ms": 1, "exact": 1}']
)
def test_what_is_not_a_stamp_is_refused(text):
    with pytest.raises(ValueError):
        Stamp.parse(text)
