"""Cursors: only those that were given out, for the list that gave them."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.administration.paging import PageQuery, after_id, cursor_of, page_of, position_of
from app.server.problems import ProblemError


@given(st.integers(0, 2**63 - 1), st.text(max_size=30))
def test_a_cursor_says_where_the_next_page_begins(number, text):
    text = text.encode("utf-8", "ignore").decode()
    cursor = cursor_of("things", number, text)
    assert position_of("things", cursor, [int, str]) == [number, text]
    assert all(letter.isalnum() or letter in "-_" for letter in cursor)


@given(st.text(max_size=60))
def test_any_other_text_is_refused_by_name(text):
    with pytest.raises(ProblemError, match="cursor: ") as refused:
        position_of("things", text, [int])
    assert refused.value.slug == "bad-request"


@pytest.mark.parametrize(
    "cursor", [cursor_of("others", 1), cursor_of("things"), cursor_of("things", "1"),
               cursor_of("things", True),
               cursor_of("things", -1), cursor_of("things", 2**63), cursor_of("things", 1, 2)],
)  # fmt: skip
def test_a_cursor_of_another_list_is_refused(cursor):
    with pytest.raises(ProblemError):
        after_id("things", PageQuery(cursor=cursor))


def test_the_last_page_has_no_next():
    rows = [SimpleNamespace(id=number) for number in (3, 5, 9)]
    shown, after = page_of("things", rows, PageQuery(limit=2), "id")
    assert [row.id for row in shown] == [3, 5]
    assert after_id("things", PageQuery(cursor=after)) == 5
    assert page_of("things", rows, PageQuery(limit=3), "id") == (rows, None)
    assert after_id("things", PageQuery()) == 0
