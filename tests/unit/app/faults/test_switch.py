"""Faults set at run time reach every process of the server, and end with it."""

import os
import threading
import time
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from app.faults.config import Faults
from app.faults.switch import FaultSwitch, server_identity

AT = datetime(2026, 3, 1, tzinfo=UTC)


def faults(*described):
    return TypeAdapter(Faults).validate_python(described)


CPU = {"kind": "cpu", "share": 0.5}
INDEX = {"kind": "db", "mode": "missing_index", "share": 0.25}
RELEASED = {"kind": "dependency", "mode": "error", "share": 0.1}


class Tables:
    """Counts what the database is asked for; fails when told so."""

    def __init__(self):
        self.exist, self.away = False, False

    def ensure(self):
        if self.away:
            raise ConnectionError("no database")
        self.exist = True

    def drop(self):
        if self.away:
            raise ConnectionError("no database")
        self.exist = False


class Process:
    """One process of a server."""

    def __init__(self, path, tables, server="1-100", release=()):
        self.active, self.shown, self.failures, self.changes = (), {}, [], []
        self.switch = FaultSwitch(
            path,
            server=server,
            release=faults(*release),
            set_=self._set,
            tables=tables,
            show=lambda all_: setattr(self, "shown", {(k, m): s for k, m, s in all_}),
            changed=self.changes.append,
            failed=self.failures.append,
        )

    def _set(self, active):
        self.active = tuple(active)

    @property
    def kinds(self):
        return [(fault.kind, fault.mode) for fault in self.active]


@pytest.fixture
def tables():
    return Tables()


@pytest.fixture
def process(tmp_path, tables):
    return lambda **more: Process(tmp_path / "faults-green.json", tables, **more)


def test_what_one_process_sets_every_other_takes_up(process):
    one, other = process(), process()
    new = one.switch.change(faults(CPU), by="drill", at=AT)
    assert one.kinds == [("cpu", "compute")], "at once where it was set"
    assert other.switch.look()
    assert other.active == one.active
    assert other.switch.current == new
    assert (new.generation, new.set_by, new.set_at) == (1, "drill", AT)
    assert other.shown == {("cpu", "compute"): 0.5}
    assert not other.switch.look(), "the same is not taken up twice"


def test_processes_follow_within_two_seconds_by_themselves(process):
    one, other = process(), process()
    other.switch.start()
    try:
        one.switch.change(faults(CPU), by="drill", at=AT)
        deadline = time.monotonic() + 2
        while not other.active and time.monotonic() < deadline:
            time.sleep(0.02)
        assert other.kinds == [("cpu", "compute")]
    finally:
        other.switch.stop()


def test_faults_of_the_release_stay_when_those_set_end(process):
    one = process(release=[RELEASED])
    one.switch.look()
    assert one.kinds == [("dependency", "error")]
    one.switch.change(faults(CPU), by="drill", at=AT)
    assert one.kinds == [("dependency", "error"), ("cpu", "compute")]
    one.switch.change((), by="drill", at=AT)
    assert one.kinds == [("dependency", "error")]
    assert one.switch.current.generation == 2


def test_another_server_in_the_same_place_is_not_born_with_them(process):
    process(server="1-100").switch.change(faults(CPU), by="drill", at=AT)
    next_release = process(server="1-200")
    next_release.switch.look()
    assert next_release.active == ()


def test_a_process_that_comes_later_has_them_from_its_start(process):
    process().switch.change(faults(CPU), by="drill", at=AT)
    later = process()
    later.switch.start()
    later.switch.stop()
    assert later.kinds == [("cpu", "compute")]


@pytest.mark.parametrize("content", ["", "{", '{"server": "1-100", "faults": [{"kind": "disk"}]}'])
def test_a_file_that_nobody_could_have_meant_sets_nothing(process, tmp_path, content):
    (tmp_path / "faults-green.json").write_text(content)
    one = process()
    one.switch.look()
    assert one.active == ()


def test_tables_exist_exactly_as_long_as_the_missing_index_is_set(process, tables):
    one, other = process(), process()
    one.switch.change(faults(INDEX), by="drill", at=AT)
    other.switch.look()
    assert tables.exist
    one.switch.change(faults(CPU), by="drill", at=AT)
    assert not tables.exist
    other.switch.look()
    assert not tables.exist


def test_tables_go_when_the_server_stops(process, tables):
    one = process(release=[INDEX])
    one.switch.start()
    deadline = time.monotonic() + 2
    while not tables.exist and time.monotonic() < deadline:
        time.sleep(0.01)
    assert tables.exist
    one.switch.stop()
    assert not tables.exist


def test_where_the_database_refuses_nothing_is_set_and_it_is_said(process, tables, tmp_path):
    one = process()
    tables.away = True
    with pytest.raises(ConnectionError):
        one.switch.change(faults(INDEX), by="drill", at=AT)
    assert one.active == ()
    assert not (tmp_path / "faults-green.json").exists()


def test_a_process_without_its_database_tries_again_and_says_so_once(process, tables, monkeypatch):
    monkeypatch.setattr("app.faults.switch.LOOK_S", 0.01)
    tables.away = True
    one = process(release=[INDEX])
    one.switch.start()
    deadline = time.monotonic() + 2
    while not one.failures and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(one.failures) == 1
    tables.away = False
    while not one.active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.kinds == [("db", "missing_index")]
    tables.away = True
    one.switch.stop()
    assert len(one.failures) == 2, "a stop goes on without its database"


def test_changes_at_the_same_time_leave_one_whole_file_and_count_each(process):
    processes = [process() for _ in range(4)]

    def change(one):
        for _ in range(10):
            one.switch.change(faults(CPU), by="drill", at=AT)

    threads = [threading.Thread(target=change, args=(one,)) for one in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = process()
    last.switch.look()
    assert last.switch.current.generation == 40
    assert last.kinds == [("cpu", "compute")]


def test_a_server_is_named_by_its_master_and_when_that_began(tmp_path):
    mine = server_identity(os.getpid())
    assert mine == server_identity(os.getpid())
    assert mine.startswith(f"{os.getpid()}-")
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(f"7 (a) odd) name) S {' '.join(str(n) for n in range(4, 40))}")
    assert server_identity(7, tmp_path) == "7-22", "field 22, counted past any name"
    assert server_identity(8, tmp_path) == "8"
