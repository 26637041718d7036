"""A tag's look-up: memory, the second cache, the database, and the configuration laid over it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage import tags
from app.storage.tags import Tag, TagDirectory, columns_of, config_of, overlaid
from app.tag_config import TagConfig

ORDERS = Tag(1, 7, "shop", "checkout", "orders", TagConfig(algorithm="segment"))


class Directory(TagDirectory):
    """A directory whose database is a dictionary."""

    def __init__(self, **more) -> None:
        self.now, self.rows, self.asked, self.away = 0.0, {(7, "orders"): ORDERS}, 0, False
        super().__init__(None, lambda: self.now, **more)

    def _row(self, workspace_id, name):
        self.asked += 1
        if self.away:
            raise ConnectionError("no database")
        return self.rows.get((workspace_id, name))


def test_a_request_costs_no_query_while_the_tag_is_fresh():
    directory = Directory()
    for _ in range(5):
        assert directory.find(7, "orders") == ORDERS
    directory.now += tags.FRESH_S + 1
    directory.find(7, "orders")
    assert directory.asked == 2


def test_the_same_name_in_another_workspace_is_another_tag():
    assert Directory().find(8, "orders") is None


def test_an_unknown_name_is_asked_for_once_in_two_seconds():
    directory = Directory()
    for _ in range(5):
        assert directory.find(7, "nothing") is None
    assert directory.asked == 1
    directory.now += tags.UNKNOWN_FRESH_S + 0.1
    directory.find(7, "nothing")
    assert directory.asked == 2


def test_unknown_names_do_not_fill_the_memory():
    directory = Directory()
    for number in range(3 * tags.MOST_UNKNOWN):
        directory.find(7, str(number))
    assert len(directory._unknown) <= tags.MOST_UNKNOWN


def test_a_known_tag_is_served_while_the_database_is_away_and_an_unknown_one_is_an_error():
    directory = Directory()
    directory.find(7, "orders")
    directory.away = True
    directory.now += 10 * tags.FRESH_S
    assert directory.find(7, "orders") == ORDERS
    with pytest.raises(ConnectionError):
        directory.find(7, "other")


def test_during_an_outage_one_request_in_a_fresh_time_waits_for_the_database():
    directory = Directory()
    directory.find(7, "orders")
    directory.away = True
    directory.now += 10 * tags.FRESH_S
    for _ in range(5):
        directory.find(7, "orders")
    assert directory.asked == 2


def test_a_forgotten_tag_is_looked_up_anew_but_served_when_that_fails():
    directory = Directory()
    directory.find(7, "orders")
    directory.find(7, "made later")
    directory.rows[7, "made later"] = ORDERS
    directory.forget(7, "orders")
    directory.forget(7, "made later")
    assert directory.find(7, "made later") == ORDERS
    directory.away = True
    assert directory.find(7, "orders") == ORDERS


def test_the_second_cache_saves_the_query_and_is_told_what_the_database_said():
    put = []
    cached = {(7, "events"): ORDERS}
    directory = Directory(l2_get=lambda *key: cached.get(key), l2_put=put.append)
    assert directory.find(7, "events") == ORDERS
    assert (directory.asked, put) == (0, [])
    directory.find(7, "orders")
    assert (directory.asked, put) == (1, [ORDERS])


def test_a_change_of_the_overlay_counts_at_once_and_costs_no_query():
    over = {}
    directory = Directory(overlay=lambda workspace, group, name: over.get((workspace, group, name)))
    assert directory.find(7, "orders").config.step == 10_000
    over["shop", "checkout", "orders"] = {"step": 5}
    assert directory.find(7, "orders").config.step == 5
    assert directory.find(7, "orders") is directory.find(7, "orders")
    del over["shop", "checkout", "orders"]
    assert directory.find(7, "orders") == ORDERS
    assert directory.asked == 1


@pytest.mark.parametrize("over", [None, {}, {"step": 0}, {"no_such_key": 1}])
def test_an_overlay_that_is_empty_or_not_allowed_leaves_the_row_in_force(over):
    assert overlaid(ORDERS, over) == ORDERS


configurations = st.builds(
    TagConfig,
    algorithm=st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True),
    format=st.sampled_from(["any", "int64", "string", "uuid"]),
    step=st.integers(1, 100_000_000),
    segment_s=st.floats(0.5, 86_400),
    max_id=st.none() | st.integers(1, 2**63 - 1),
    enabled=st.booleans(),
)


@given(configurations)
def test_a_configuration_survives_the_way_into_a_row_and_back(config):
    row = columns_of(config)
    assert config_of(row["algorithm"], row["format"], row["step"], row["config"]) == config
