"""IDs as text and batches as IDs."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids import Batch, Id

NUMBERS = st.builds(Id, st.integers(0, 2**63 - 1), st.just("int64"))
UUIDS = st.builds(Id, st.integers(0, 2**128 - 1), st.just("uuid"))


@given(st.one_of(NUMBERS, UUIDS))
def test_an_id_is_read_back_from_its_text(one):
    assert Id.parse(str(one)) == one
    assert Id.parse(str(one).upper()) == one


@given(UUIDS)
def test_a_uuid_is_written_as_everybody_writes_it(one):
    assert str(one) == str(uuid.UUID(int=one.value))


WRONG = ["", "-1", "+1", "01", " 1", "1\n", "1e3", "٣", str(2**63), "9" * 500, "x" * 36, "0" * 32,
         "{00000000-0000-0000-0000-000000000000}", "00000000-0000-0000-0000-00000000000g"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_other_text_is_refused_with_what_is_allowed(text):
    with pytest.raises(
        ValueError, match="is not allowed; allowed: 0 to 9223372036854775807 in decimal"
    ) as refused:
        Id.parse(text)
    assert len(str(refused.value)) < 250


def test_a_batch_gives_its_ids_in_order():
    numbers = Batch("int64", (range(5, 7), range(100, 101)))
    assert len(numbers) == 3
    assert [*numbers.ids()] == [Id(5), Id(6), Id(100)]
    two = Batch("uuid", uuids=bytes(15) + b"\1" + bytes(15) + b"\2")
    assert len(two) == 2
    assert [*two.ids()] == [Id(1, "uuid"), Id(2, "uuid")]
