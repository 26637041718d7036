"""How two configurations differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.snapshots.content import Content, GroupContent, TagContent, differences
from app.tag_config import TagConfig

NAMES = st.sampled_from(["a", "b", "c", "d"])
GROUPS = st.dictionaries(
    NAMES, st.builds(GroupContent, settings=st.dictionaries(NAMES, st.integers(0, 3), max_size=2))
)
CONFIGS = st.builds(TagConfig, step=st.integers(1, 3), enabled=st.booleans())
TAGS = st.dictionaries(NAMES, st.builds(TagContent, group=NAMES, config=CONFIGS))
CONTENTS = st.builds(Content, groups=GROUPS, tags=TAGS)


@given(CONTENTS)
def test_a_content_does_not_differ_from_itself_and_survives_json(content):
    assert differences(content, content) == []
    assert Content.model_validate(content.model_dump(mode="json")) == content


@given(CONTENTS, CONTENTS)
def test_making_the_changes_leads_to_what_was_aimed_at(now, aim):
    made = {"group": dict(now.model_dump()["groups"]), "tag": dict(now.model_dump()["tags"])}
    for change in differences(now, aim):
        there = made[change.kind]
        assert there.get(change.name) == change.old
        if change.change == "extra":
            del there[change.name]
        else:
            assert (change.change == "added") == (change.name not in there)
            there[change.name] = change.new
    assert Content.model_validate({"groups": made["group"], "tags": made["tag"]}) == aim


@given(CONTENTS, CONTENTS)
def test_groups_come_before_the_tags_that_are_in_them(now, aim):
    kinds = [change.kind for change in differences(now, aim)]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    "wrong", [{"format": 2}, {"tags": {"a": {"group": "b", "config": {"step": 0}}}}, {"keys": {}}]
)
def test_what_another_version_wrote_is_refused(wrong):
    with pytest.raises(ValidationError):
        Content.model_validate(wrong)
