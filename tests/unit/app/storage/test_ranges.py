"""The arithmetic of spans, bounds, capacity and months, without a database."""

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.capacity import measured
from app.storage.models import DATACENTERS, owner, span
from app.storage.partitions import Month, wanted
from app.storage.segments import bounds
from app.storage.tags import Tag
from app.tag_config import TagConfig


def tag(max_id=None):
    return Tag(1, 1, "default", "default", "orders", TagConfig(max_id=max_id))


def test_data_centres_own_spans_that_never_meet_and_stay_below_two_to_the_56():
    spans = [span(datacenter) for datacenter in range(DATACENTERS)]
    assert all(one.stop <= following.start for one, following in itertools.pairwise(spans))
    assert spans[0].start == 1
    assert spans[-1].stop <= 2**56
    assert all(owner(one[0]) == owner(one[-1]) == datacenter for datacenter, one in enumerate(spans))


@given(st.none() | st.integers(1, 2**63 - 1), st.integers(0, 7))
def test_bounds_are_the_part_of_the_span_up_to_the_maximum(most, datacenter):
    found, whole = bounds(tag(most), datacenter), span(datacenter)
    assert found.start == whole.start
    assert found.stop <= whole.stop
    assert not found or most is None or found[-1] <= most
    assert len(found) == max(0, min(whole.stop - 1, most or whole.stop) - whole.start + 1)


@given(st.integers(1, 10**6), st.integers(0, 2 * 10**6), st.integers(0, 100))
def test_a_used_ratio_is_between_0_and_1(most, next_id, in_tails):
    found = measured(tag(most), 0, max(1, next_id), min(in_tails, max(0, next_id - 1)))
    assert 0 <= found.used_ratio <= 1
    assert 0 <= found.left <= most


@given(st.dates(date(2020, 1, 1), date(2200, 1, 1)), st.integers(0, 30))
def test_months_follow_each_other_without_a_gap(today, ahead):
    months = wanted(today, ahead)
    assert len(months) == ahead + 1
    assert months[0] == Month(today.year, today.month)
    for one, following in itertools.pairwise(months):
        assert (following.year - one.year) * 12 + following.month - one.month == 1


@pytest.mark.parametrize("ahead", [-1, 121])
def test_a_senseless_number_of_months_is_refused(ahead):
    with pytest.raises(ValueError, match="allowed 0 to 120"):
        wanted(date(2026, 11, 22), ahead)


def test_decembers_partition_ends_where_januarys_begins():
    assert Month(2026, 12).following.first == "2027-01-01 00:00:00+00"
    assert Month(2026, 12).table == "segment_allocations_y2026m12"
