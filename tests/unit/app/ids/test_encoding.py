"""Batches on the wire are what a slow and obvious encoder would write; an ID tells its fields."""

import json
import os
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.ids import Batch, Id
from app.ids.encoding import Decoded, decode, to_array, to_json_strings, to_ndjson, to_octets
from app.ids.layout import EARLIEST_MS, FIRST_SNOWFLAKE, Layout, Parts
from app.ids.uuids import Uuid4

BLOCKS = st.builds(
    lambda first, size: range(first, first + size),
    st.one_of(st.integers(0, 30_000), st.integers(0, 2**63 - 50_000)),
    st.one_of(st.integers(1, 60), st.integers(1, 25_000)),
)
NUMBERS = st.lists(BLOCKS, max_size=4).map(lambda blocks: Batch("int64", tuple(blocks)))


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
@example(Batch("int64", (range(9_970, 10_060), range(0, 1), range(2**63 - 30, 2**63))))
@example(Batch("int64"))
def test_numbers_are_written_as_strings_lines_and_octets(batch):
    ids = [value for block in batch.blocks for value in block]
    text = [str(value) for value in ids]
    assert to_json_strings(batch) == json.dumps(text, separators=(",", ":")).encode()
    assert to_ndjson(batch) == "".join(f'"{one}"\n' for one in text).encode()
    assert to_octets(batch) == b"".join(value.to_bytes(8, "big") for value in ids)
    assert to_array(batch).tolist() == ids


@pytest.mark.parametrize("count", [0, 1, 3, 1_999, 2_000, 2_001, 4_500])
def test_uuids_are_written_as_strings_lines_and_octets(count):
    octets = Uuid4(randomness=os.urandom).batch(count).uuids if count else b""
    batch = Batch("uuid", uuids=octets)
    text = [str(uuid.UUID(bytes=octets[at : at + 16])) for at in range(0, len(octets), 16)]
    assert to_json_strings(batch) == json.dumps(text, separators=(",", ":")).encode()
    assert to_ndjson(batch) == "".join(f'"{one}"\n' for one in text).encode()
    assert to_octets(batch) == octets


@pytest.mark.parametrize("bits", [10, 11])
def test_a_snowflake_tells_its_time_and_place(bits):
    value = Layout(bits).pack(Parts(EARLIEST_MS + 123, 3, 200, 1_000))
    fields = decode(Id(value), Layout(bits))
    assert fields == Decoded("int64", "snowflake", EARLIEST_MS + 123, 3, 200, 1_000)
    assert fields.time == "2026-02-02T16:22:18.491Z"


@pytest.mark.parametrize(("value", "datacenter"), [(1, 0), (2**53 - 1, 0), (2**53 + 1, 1), (2**56 - 1, 7)])
def test_a_segments_value_tells_its_data_centre_and_no_time(value, datacenter):
    fields = decode(Id(value))
    assert fields == Decoded("int64", "segment", datacenter=datacenter)
    assert fields.time is None


def test_the_first_snowflake_is_no_segments_value():
    assert decode(Id(FIRST_SNOWFLAKE - 1)).algorithm == "segment"
    assert decode(Id(FIRST_SNOWFLAKE), Layout(10)).algorithm == "snowflake"


def test_a_uuid_tells_its_version_and_version_7_its_time():
    # The example of RFC 9562, A.6: 2022-02-22T19:22:22Z.
    fields = decode(Id.parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"))
    assert (fields.algorithm, fields.version, fields.time) == ("uuid7", 7, "2022-02-22T19:22:22.000Z")
    assert fields.unix_ms == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC).timestamp() * 1_000
    random_one = decode(Id.parse("919108f7-52d1-4320-9bac-f847db4148a8"))
    assert (random_one.algorithm, random_one.version, random_one.time) == ("uuid4", 4, None)
    assert decode(Id(0, "uuid")) == Decoded("uuid", "unknown")
    assert decode(Id.parse("ffffffff-ffff-7fff-bfff-ffffffffffff")).time is None, "beyond the year 9999"
