"""What a tag may become without repeating an ID."""

import pytest

from app.repeats import BUILT_IN, could_repeat
from app.tag_config import TagConfig


def config(**values) -> TagConfig:
    return TagConfig.model_validate(values)


@pytest.mark.parametrize("before", BUILT_IN)
@pytest.mark.parametrize("after", BUILT_IN)
def test_built_in_algorithms_replace_each_other_freely(before, after):
    assert could_repeat(config(algorithm=before), config(algorithm=after)) is None


def test_the_layout_of_snowflakes_never_changes():
    assert "allowed: 11" in could_repeat(config(sequence_bits=11), config(sequence_bits=10))
    # Even from another algorithm: the tag may have been a snowflake before.
    before, after = config(algorithm="uuid7", sequence_bits=10), config(algorithm="uuid7")
    assert "allowed: 10" in could_repeat(before, after)


@pytest.mark.parametrize("other", [*BUILT_IN, "another"])
def test_nothing_becomes_a_plugins_tag_or_stops_being_one(other):
    assert could_repeat(config(algorithm="dated"), config(algorithm=other))
    assert could_repeat(config(algorithm=other), config(algorithm="dated"))
    assert could_repeat(config(algorithm="dated"), config(algorithm="dated", step=5)) is None


def test_all_else_may_change():
    after = config(format="int64", step=1, step_policy="fixed", max_id=5, max_count=1, enabled=False)
    assert could_repeat(config(), after) is None
