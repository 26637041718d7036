"""Files of events that outlive the process."""

import fcntl
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit import spool
from app.audit.event import BadEventError, Event, bounded
from app.audit.log import unique_times

AT = datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)


def event(target: str = "tag/a", **more) -> Event:
    return Event(AT, "tag.changed", target, "ok", **more)


@given(
    target=st.text(max_size=50),
    detail=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()),
    workspace_id=st.none() | st.integers(1, 2**62),
)
def test_an_event_survives_its_line(target, detail, workspace_id):
    given_event = event(
        target.encode("utf-8", "ignore").decode(), workspace_id=workspace_id, detail=bounded(detail)
    )
    assert Event.from_line(given_event.to_line()) == given_event


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"at": "yesterday"}', b'{"at": 3}'])
def test_a_line_that_is_no_event_is_told_apart(line):
    with pytest.raises(BadEventError, match="not an event"):
        Event.from_line(line)


def test_files_are_given_back_whole_and_once(tmp_path):
    spool.keep(tmp_path / "state", [event("a"), event("b")])
    spool.keep(tmp_path / "state", [event("c")])
    got = []
    assert spool.give_back(tmp_path / "state", got.extend) == 3
    assert sorted(one.target for one in got) == ["a", "b", "c"]
    assert spool.give_back(tmp_path / "state", got.extend) == 0
    assert spool.give_back(tmp_path / "nowhere", got.extend) == 0
    assert spool.keep(tmp_path, []) is None


def test_a_file_stays_when_its_events_can_not_be_written(tmp_path):
    path = spool.keep(tmp_path, [event()])

    def fail(events) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        spool.give_back(tmp_path, fail)
    assert path.exists()


def test_a_file_that_another_process_reads_is_left_to_it(tmp_path):
    path = spool.keep(tmp_path, [event()])
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert spool.give_back(tmp_path, lambda events: pytest.fail("read twice")) == 0
    assert spool.give_back(tmp_path, lambda events: None) == 1


def test_a_file_that_another_process_has_just_given_back_is_not_given_back_again(tmp_path, monkeypatch):
    path = spool.keep(tmp_path, [event()])

    def removed_meanwhile(file, how) -> None:
        path.unlink()

    monkeypatch.setattr(spool.fcntl, "flock", removed_meanwhile)
    assert spool.give_back(tmp_path, lambda events: pytest.fail("written twice")) == 0


def test_bad_lines_are_kept_aside_and_stop_nothing(tmp_path):
    path = spool.keep(tmp_path, [event("a"), event("b")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"rubbish\n" + lines[1])
    got = []
    assert spool.give_back(tmp_path, got.extend) == 2
    assert path.with_suffix(".bad").read_bytes() == b"rubbish\n" and not path.exists()


def test_times_of_one_process_differ_even_when_the_clock_stands_or_steps_back():
    clock = iter([AT, AT, AT - timedelta(seconds=5), AT + timedelta(seconds=1)])
    now = unique_times(lambda: next(clock))
    times = [now() for _ in range(4)]
    assert times == sorted(set(times)) and times[-1] == AT + timedelta(seconds=1)
