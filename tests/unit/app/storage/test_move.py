"""How an old service's rows and addresses are understood, without a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.move import mapping
from app.move.address import BadAddressError, chosen
from app.move.cli import main
from app.move.mapping import BadSourceError, moment, placed
from app.move.records import Checksum, Record
from app.storage.models import DATACENTERS, span

END = span(DATACENTERS - 1).stop


def marks(records):
    return {one.content["datacenter"]: one.content["next_id"] for one in records}


@given(st.integers(2, END - 1))
def test_no_segment_can_issue_a_value_of_one_old_range_again(following):
    reached = marks(placed("w", "t", [(0, following)]))
    for datacenter in range(DATACENTERS):
        owned = span(datacenter)
        fresh = range(reached.get(datacenter, owned.start), owned.stop)
        assert not fresh or fresh.start >= following


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 1 << 53)), max_size=8, unique_by=lambda one: one[0])
)
def test_no_segment_can_issue_a_value_of_the_data_centres_spans_again(parts):
    old = [(dc, span(dc).start + used) for dc, used in parts if span(dc).start + used <= span(dc).stop]
    reached = marks(placed("w", "t", old))
    assert reached == dict(old)


def test_spans_of_two_to_the_60_begin_anew_since_nothing_allocates_there():
    assert marks(placed("w", "t", [(0, 77), (3, 3 * (1 << 60) + 500)])) == {0: 77, 3: span(3).start}


def test_an_old_range_that_leaves_no_room_is_refused():
    with pytest.raises(BadSourceError, match="leaves no room"):
        placed("w", "t", [(0, END)])


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)),
    st.randoms(),
)
def test_a_checksum_knows_rows_not_their_order(rows, order):
    digests = [Record("audit_events", row).digest for row in rows]
    shuffled = digests[:]
    order.shuffle(shuffled)
    assert str(Checksum(digests)) == str(Checksum(shuffled))


def test_a_checksum_sees_a_changed_a_missing_and_a_doubled_row():
    one, other = (Record("workspaces", {"name": name, "settings": {}}).digest for name in "ab")
    sums = [str(Checksum(rows)) for rows in ([one], [other], [], [one, one], [one, other])]
    assert len(set(sums)) == 5


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        ("2024-05-06 07:08:09", "2024-05-06T07:08:09.000000+00:00"),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09.000000+00:00"),
        ("2024-05-06", "2024-05-06T00:00:00.000000+00:00"),
    ],
)
def test_a_time_is_utc_whatever_zone_it_came_in(value, told):
    assert moment(value) == told


@pytest.mark.parametrize("scopes", [["read", "issue"], '["read", "issue"]', "read, issue"])
@pytest.mark.parametrize("digest", [b"\xab" * 32, "AB" * 32])
def test_a_keys_hash_and_scopes_are_read_in_any_usual_form(scopes, digest):
    record = mapping.api_key({"name": "k", "key_sha256": digest, "scopes": scopes}, "w")
    assert record.content["sha256"] == "ab" * 32
    assert record.content["scopes"] == ["issue", "read"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "postgresql://me:hunter2@h/d", "--to-env", "NEW"], "--from-env NAME"),
        (["--from", "postgresql://me@h/d?password=hunter2", "--to-env", "NEW"], "--from-env NAME"),
        (["--from-env", "OLD", "--to", "postgresql://me:hunter2@h/d"], "--to-env NAME"),
        (["--from-env", "UNSET", "--to-env", "NEW"], "UNSET is not set"),
        (["--from-env", "OLD", "--from", "sqlite:///x", "--to-env", "NEW"], "one of --from URL"),
        (["--to-env", "NEW"], "one of --from URL"),
        (["--from", "mysql://h/d", "--to-env", "NEW"], "'mysql' is not allowed; allowed: sqlite:///FILE"),
        (["--from", "not a url", "--to-env", "NEW"], "not a URL"),
        (["--from", "sqlite:////nowhere.db", "--to-env", "NEW"], "/nowhere.db is not a file"),
        (["--from-env", "OLD", "--to-env", "NEW", "--batch", "0"], "--batch: 0 is not allowed"),
    ],
)
def test_a_wrong_address_is_one_line_without_the_password(arguments, told, monkeypatch, capsys):
    monkeypatch.setenv("OLD", "postgresql://me:hunter2@127.0.0.1:9/d")
    monkeypatch.setenv("NEW", "postgresql://me:hunter2@127.0.0.1:9/d")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "hunter2" not in error


def test_an_address_without_a_password_may_stand_on_the_command_line():
    address = chosen("--to", "postgresql://me@h/d", None, {})
    assert (address.drivername, address.host) == ("postgresql+psycopg", "h")
    with pytest.raises(BadAddressError):
        chosen("--to", None, None, {})
