"""Counts are differences of raw counters, and nothing is made up when they can't be had."""

import pytest

from release.sample import LATENCY_EDGES_S, HostCounters, NoData, Sample, SlotCounts, Snapshot, difference


def counts(requests, errors=0, slow=0):
    """All requests faster than 5 ms, except `slow` ones slower than any edge."""
    return SlotCounts(
        requests=requests, errors=errors, timed=requests, at_most=(requests - slow,) * len(LATENCY_EDGES_S)
    )


def snapshot(at, green, blue=None, edge="edge1"):
    return Snapshot(
        hosts={edge: HostCounters(scraped_at=at, slots={"green": green, "blue": blue or counts(0)})}
    )


def both(one, two):
    return Snapshot(hosts={**one.hosts, **two.hosts})


def test_a_sample_is_what_was_added_between_two_scrapes():
    sample = difference(snapshot(10, counts(100, 1), counts(50)), snapshot(12, counts(160, 3, 2), counts(55)))
    assert isinstance(sample, Sample)
    assert sample.seconds == 2
    assert (sample.slots["green"].requests, sample.slots["green"].errors) == (60, 2)
    assert sample.slots["green"].slower_than(0.5) == 2
    assert sample.slots["blue"].requests == 5


def test_a_restarted_edge_counts_from_zero_in_both_slots():
    """Only one counter fell, but the other slot's counters restarted too and have caught up since."""
    sample = difference(snapshot(10, counts(100), counts(10)), snapshot(12, counts(30), counts(40)))
    assert isinstance(sample, Sample)
    assert (sample.slots["green"].requests, sample.slots["blue"].requests) == (30, 40)
    assert sample.reset_hosts == ("edge1",)


def test_edges_are_added_up():
    before = both(snapshot(10, counts(100)), snapshot(10.5, counts(7), edge="edge2"))
    now = both(snapshot(12, counts(110)), snapshot(12.5, counts(10), edge="edge2"))
    sample = difference(before, now)
    assert isinstance(sample, Sample)
    assert sample.slots["green"].requests == 13


def test_without_a_newer_scrape_there_is_no_sample():
    assert difference(snapshot(10, counts(5)), snapshot(10, counts(5))) == NoData(
        why="no scrape of edge1 since the last tick"
    )


def test_a_clock_that_went_back_gives_no_sample():
    assert isinstance(difference(snapshot(10, counts(5)), snapshot(9, counts(8))), NoData)


def test_an_edge_that_is_gone_gives_no_sample():
    before = both(snapshot(10, counts(5)), snapshot(10, counts(5), edge="edge2"))
    assert difference(before, snapshot(12, counts(9))) == NoData(why="no counters from edge2")


def test_an_edge_that_is_new_adds_nothing_the_first_time():
    now = both(snapshot(12, counts(9)), snapshot(12, counts(1000), edge="edge2"))
    sample = difference(snapshot(10, counts(5)), now)
    assert isinstance(sample, Sample)
    assert sample.slots["green"].requests == 4


def test_a_gap_loses_no_request():
    first, middle, last = snapshot(10, counts(5)), snapshot(12, counts(9)), snapshot(30, counts(70))
    split = [difference(first, middle), difference(middle, last)]
    assert sum(s.slots["green"].requests for s in split) == difference(first, last).slots["green"].requests


def test_a_snapshot_survives_json_exactly():
    value = snapshot(1_800_000_000.123, counts(5, 1))
    assert Snapshot.model_validate_json(value.model_dump_json()) == value


def test_a_threshold_off_a_bucket_edge_is_refused():
    with pytest.raises(ValueError, match="not in tuple"):
        counts(5).slower_than(0.3)
