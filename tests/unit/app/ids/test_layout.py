"""The 64 bits of an ID."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids.layout import EPOCH_MS, Layout, Parts

SEQUENCE_BITS = st.sampled_from([10, 11])


def parts(sequence_bits: int) -> st.SearchStrategy[Parts]:
    return st.builds(
        Parts,
        unix_ms=st.integers(EPOCH_MS, EPOCH_MS + 2**41 - 1),
        datacenter=st.integers(0, 7),
        worker=st.integers(0, 255),
        sequence=st.integers(0, 2**sequence_bits - 1),
    )


@given(st.data(), SEQUENCE_BITS)
def test_what_is_packed_is_unpacked(data, bits):
    fields = data.draw(parts(bits))
    packed = Layout(bits).pack(fields)
    assert 0 <= packed < 2**63
    assert Layout(bits).unpack(packed) == fields


@given(st.data(), SEQUENCE_BITS)
def test_ids_sort_by_time_first(data, bits):
    one, other = data.draw(parts(bits)), data.draw(parts(bits))
    if one.unix_ms < other.unix_ms:
        assert Layout(bits).pack(one) < Layout(bits).pack(other)


@pytest.mark.parametrize(
    ("field", "value"), [("unix_ms", EPOCH_MS - 1), ("datacenter", 8), ("worker", 256), ("sequence", 2048)]
)
def test_a_field_out_of_range_is_refused_by_name(field, value):
    fields = Parts(EPOCH_MS, 0, 0, 0)._replace(**{field: value})
    with pytest.raises(ValueError, match=f"{field}.*allowed: 0 to"):
        Layout().pack(fields)


def test_the_last_millisecond_is_69_years_after_the_epoch():
    years = (Layout().last_unix_ms - EPOCH_MS) / (365.25 * 86_400_000)
    assert 69 < years < 70
    Layout().pack(Parts(Layout().last_unix_ms, 7, 255, 2047))
    with pytest.raises(ValueError, match="unix_ms"):
        Layout().pack(Parts(Layout().last_unix_ms + 1, 0, 0, 0))


def test_other_sequence_widths_are_refused():
    with pytest.raises(ValueError, match="sequence_bits: 12"):
        Layout(12)
