"""An existing database is moved in: everything arrives, once, and no ID can be issued again."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from threading import Thread
from unittest.mock import patch

import psycopg
import pytest
from alembic import command
from sqlalchemy import text

from app.migrate import revisions
from app.move.cli import main
from app.storage import segments, tags
from app.storage.models import DATACENTER_SPAN

pytestmark = pytest.mark.integration

KEY = "ab" * 32
SERVICE = f"""
CREATE TABLE workspaces (id INTEGER PRIMARY KEY, name TEXT, config TEXT);
INSERT INTO workspaces VALUES (7, 'default', '{{"colour": "red"}}'), (9, 'shop', '{{}}');
CREATE TABLE groups (id INTEGER PRIMARY KEY, workspace_id INTEGER, name TEXT);
INSERT INTO groups VALUES (3, 7, 'default'), (4, 9, 'checkout');
CREATE TABLE biz_tags (id INTEGER PRIMARY KEY, group_id INTEGER, biz_tag TEXT, mode TEXT, step INTEGER,
    config TEXT);
INSERT INTO biz_tags VALUES (1, 3, 'orders', 'segment', 500, '{{"step_policy": "fixed"}}'),
    (2, 4, 'orders', 'segment', 100, NULL), (5, 4, 'traces', 'uuid7', 1000, NULL);
CREATE TABLE segments (biz_tag_id INTEGER, dc_id INTEGER, max_id INTEGER);
INSERT INTO segments VALUES (1, 0, 123456), (1, 2, {2 << 60} + 999), (2, 0, {DATACENTER_SPAN + 40});
CREATE TABLE api_keys (id INTEGER PRIMARY KEY, workspace_id INTEGER, name TEXT, key_hash TEXT, scopes TEXT,
    created_at TEXT, revoked_at TEXT);
INSERT INTO api_keys VALUES (1, 9, 'till', '{KEY}', 'issue,read', '2024-05-06 07:08:09', NULL);
CREATE TABLE audit_events (id INTEGER PRIMARY KEY, at TEXT, workspace_id INTEGER, actor TEXT, action TEXT,
    target TEXT, result TEXT);
INSERT INTO audit_events VALUES (1, '2024-05-06T07:08:09.5+02:00', 9, 'till', 'issue', 'orders', 'ok'),
    (2, '2024-05-06T07:08:09.5+02:00', 9, 'till', 'issue', 'orders', 'ok'),
    (3, '2024-05-06T07:08:09', 8, 'gone', 'issue', 'orders', 'ok');
"""


@pytest.fixture
def sqlite(tmp_path):
    """sqlite(script) -> the URL of a new SQLite database."""

    def new(script: str) -> str:
        file = tmp_path / "old.db"
        with sqlite3.connect(file) as connection:
            connection.executescript(script)
        return f"sqlite:///{file}"

    return new


@dataclass
class Done:
    """How a move ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, **environment: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return Done(code, out.getvalue(), err.getvalue())


def move(source: str, target: str, *more: str) -> dict:
    done = run("--from-env", "OLD", "--to-env", "NEW", "--json", *more, OLD=source, NEW=target)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def by_table(report: dict) -> dict:
    return {one["table"]: one for one in report["tables"]}


def found(engine) -> dict:
    return {(tag.workspace, tag.name): tag for tag in tags.TagDirectory(engine, lambda: 0.0).load()}


def test_a_services_sqlite_database_arrives_whole_and_a_second_run_copies_nothing(sqlite, url, engine):
    old = sqlite(SERVICE)
    report = move(old, url)
    assert report["equal"]
    tables = by_table(report)
    assert {name: (one["source"], one["copied"], one["replaced"]) for name, one in tables.items()} == {
        "workspaces": (2, 1, 1),
        "groups": (2, 1, 0),
        "biz_tags": (3, 2, 1),
        "segments": (4, 4, 0),
        "api_keys": (1, 1, 0),
        "snapshots": (0, 0, 0),
        "audit_events": (3, 3, 0),
    }
    for one in tables.values():
        assert one["checksum_source"] == one["checksum_target"]
    again = move(old, url)
    assert (again["copied"], again["equal"]) == (0, True)
    assert sum(one["replaced"] for one in again["tables"]) == 0
    tag = found(engine)["default", "orders"]
    assert (tag.config.step, tag.config.step_policy) == (500, "fixed")
    with engine.connect() as connection:
        keys = connection.execute(
            text("SELECT encode(sha256, 'hex'), scopes, created_at FROM api_keys")
        ).one()
        events = connection.execute(
            text("SELECT at, workspace_id IS NULL FROM audit_events ORDER BY id")
        ).all()
        (settings,) = connection.execute(text("SELECT settings FROM workspaces WHERE name = 'default'")).one()
    assert keys[:2] == (KEY, ["issue", "read"])
    assert keys[2].isoformat() == "2024-05-06T07:08:09+00:00"
    assert str(events[0][0]) == "2024-05-06 05:08:09.500000+00:00"
    assert [row[1] for row in events] == [False, False, True]
    assert settings == {"colour": "red"}


def test_after_the_move_no_old_id_is_issued_again(sqlite, url, engine):
    move(sqlite(SERVICE), url)
    mine = found(engine)
    assert segments.allocate(engine, mine["default", "orders"], 0, 9, holder="a").start == 123_457
    assert (
        segments.allocate(engine, mine["default", "orders"], 2, 9, holder="a").start
        == 2 * DATACENTER_SPAN + 1
    )
    shop = mine["shop", "orders"]  # its one old range filled data centre 0 and a part of data centre 1
    with pytest.raises(segments.SegmentExhaustedError):
        segments.allocate(engine, shop, 0, 9, holder="a")
    assert segments.allocate(engine, shop, 1, 9, holder="a").start == DATACENTER_SPAN + 41


def test_a_leaf_database_arrives_past_its_maxima(sqlite, url, engine):
    old = sqlite(
        "CREATE TABLE leaf_alloc (biz_tag TEXT PRIMARY KEY, max_id INTEGER, step INTEGER, description TEXT,"
        " update_time TEXT);"
        "INSERT INTO leaf_alloc VALUES ('order', 2001, 2000, 'orders', '2020'), ('user', 1, 100, '', '')"
    )
    report = move(old, url, "--workspace", "legacy", "--group", "leaf")
    assert (report["copied"], report["equal"]) == (6, True)
    mine = found(engine)
    assert mine["legacy", "order"].group == "leaf"
    assert segments.allocate(engine, mine["legacy", "order"], 0, holder="a") == range(2002, 4002)
    again = move(old, url, "--workspace", "legacy", "--group", "leaf")
    assert (again["copied"], again["equal"]) == (0, True)
    assert segments.allocate(engine, mine["legacy", "order"], 0, holder="a").start == 4002


def filled(server, migrated, number: int) -> str:
    """A Postgres at this version's schema with that many tags, each with a segment, and events."""
    address = server.new(migrated)
    with psycopg.connect(address) as connection:
        connection.execute(
            "INSERT INTO workspaces (name, settings) VALUES ('a', '{\"x\": 1.5}'), ('b', '{}')"
        )
        connection.execute("INSERT INTO groups (workspace_id, name) SELECT id, 'g' FROM workspaces")
        connection.execute(
            "INSERT INTO biz_tags (group_id, name, algorithm, step) SELECT g.id, 't' || n, 'segment', n "
            "FROM groups g, generate_series(1, %s) n WHERE g.name = 'g'",
            (number,),
        )
        connection.execute(
            "INSERT INTO segments (tag_id, datacenter, next_id, last_id) SELECT id, 3, "
            "3 * 9007199254740992 + 1 + step, 4 * 9007199254740992 - 1 FROM biz_tags WHERE name LIKE 't%'"
        )
        connection.execute(
            "INSERT INTO snapshots (workspace_id, name, content, created_by) "
            "SELECT id, 's', '{\"tags\": [1, 2.5, null]}', 'me' FROM workspaces"
        )
        connection.execute(
            "INSERT INTO audit_events (at, workspace_id, actor, action, target, result, detail) "
            "SELECT now() - mod(n, 7) * interval '1 hour', w.id, 'me', 'set', 't', 'ok', '{\"n\": 1}' "
            "FROM workspaces w, generate_series(1, %s) n",
            (number,),
        )
    return address


def test_a_postgres_move_that_is_killed_goes_on_and_then_copies_nothing(server, migrated, url):
    old = filled(server, migrated, 400)
    environment = {**os.environ, "OLD": old, "NEW": url}
    arguments = ["-m", "app.move", "--from-env", "OLD", "--to-env", "NEW", "--batch", "50"]
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as killed:
        for line in killed.stderr:
            if line.startswith("biz_tags: 350"):
                killed.send_signal(signal.SIGKILL)
                break
    with psycopg.connect(url) as connection:
        counts = "SELECT count(*), (SELECT count(*) FROM segments) FROM biz_tags WHERE name LIKE 't%'"
        tags_there, segments_there = connection.execute(counts).fetchone()
    assert 347 <= tags_there < 1_200  # three of the 350 are the seeds
    assert segments_there == tags_there, "a tag without its segment would begin at 1"
    report = move(old, url)
    tables = by_table(report)
    assert report["equal"]
    assert tables["biz_tags"]["copied"] == 1_200 - tags_there
    assert tables["audit_events"]["copied"] == 1_200
    again = move(old, url)
    assert (again["copied"], again["equal"]) == (0, True)
    with psycopg.connect(url) as connection:
        (events,) = connection.execute("SELECT count(*) FROM audit_events").fetchone()
    assert events == 1_200


def test_a_database_of_the_first_schema_moves_into_the_newest(empty, empty_url, url, engine):
    config = revisions.configuration()
    with empty.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO biz_tags (name, algorithm, step) VALUES ('orders', 'segment', 9)")
        )
        connection.execute(text(f"INSERT INTO segments SELECT id, 0, 5000, {(1 << 60) - 1} FROM biz_tags"))
    assert move(empty_url, url)["equal"]
    assert segments.allocate(engine, found(engine)["default", "orders"], 0, 5, holder="a").start == 5_000


def test_a_dry_run_tells_what_would_be_and_writes_nothing(sqlite, url, engine):
    report = move(sqlite(SERVICE), url, "--dry-run")
    assert (report["dry_run"], report["copied"], report["equal"]) == (True, 12, False)
    assert set(found(engine)) == {("default", "orders"), ("default", "events"), ("default", "smoke")}


def test_a_row_that_somebody_changed_is_left_named_and_exits_3_until_replaced(sqlite, url, engine):
    old = sqlite(SERVICE)
    with engine.begin() as connection:
        connection.execute(text("UPDATE biz_tags SET step = 4, version = 2 WHERE name = 'orders'"))
        connection.execute(text('UPDATE workspaces SET settings = \'{"colour": "blue"}\''))
    done = run("--from", old, "--to-env", "NEW", NEW=url)
    assert done.returncode == 3
    assert "differs: default/orders" in done.stdout
    assert found(engine)["default", "orders"].step == 4
    # but its segment was moved, since IDs must not repeat whatever else is decided
    assert segments.allocate(engine, found(engine)["default", "orders"], 0, 9, holder="a").start == 123_457
    assert run("--from", old, "--to-env", "NEW", "--replace", NEW=url).returncode == 0
    assert found(engine)["default", "orders"].step == 500


def test_a_segment_that_is_further_is_never_moved_back(sqlite, url, engine):
    old = sqlite(SERVICE)
    move(old, url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE segments SET next_id = 900000 WHERE next_id = 123457"))
    assert move(old, url, "--replace")["equal"]
    assert segments.allocate(engine, found(engine)["default", "orders"], 0, 9, holder="a").start == 900_000


def test_two_moves_at_once_are_refused(sqlite, url):
    old = sqlite(SERVICE)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_lock(7586114221)")
        done = run("--from", old, "--to-env", "NEW", NEW=url)
    assert done.returncode == 2
    assert "another move" in done.stderr


def test_a_target_without_the_schema_or_not_there_is_said(sqlite, empty_url):
    old = sqlite(SERVICE)
    done = run("--from", old, "--to-env", "NEW", NEW=empty_url)
    assert done.returncode == 2
    assert "app.migrate upgrade" in done.stderr
    done = run("--from", old, "--to-env", "NEW", NEW="postgresql://ids:secret@127.0.0.1:9/x")
    assert done.returncode == 1
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE biz_tags SET step = 0 WHERE id = 5", "biz_tags traces: step: 0"),
        ("UPDATE segments SET dc_id = 9", "datacenter 9 is not allowed; allowed: 0 to 7"),
        (f"UPDATE segments SET max_id = {1 << 57}, dc_id = 0 WHERE biz_tag_id = 2", "leaves no room"),
        ("UPDATE api_keys SET key_hash = 'abc'", "allowed: a SHA-256"),
        ("UPDATE api_keys SET scopes = 'root'", "scopes ['root'] are not allowed"),
        ("UPDATE groups SET workspace_id = 99", "workspace_id 99 has no row"),
        ("UPDATE biz_tags SET group_id = 99", "group_id 99 has no row"),
        ("UPDATE segments SET biz_tag_id = 99", "no such tag: 99"),
        ("UPDATE workspaces SET config = '{'", "allowed: JSON"),
        ("UPDATE audit_events SET at = 'soon'", "'soon' is not allowed; allowed: ISO 8601"),
        ("DROP TABLE biz_tags", "no table biz_tags or leaf_alloc"),
        ("UPDATE biz_tags SET group_id = 4, biz_tag = 'x'", "shop/x: is there twice"),
    ],
)
def test_a_row_that_cannot_be_moved_is_named_before_anything_is_written(change, told, sqlite, url, engine):
    done = run("--from", sqlite(f"{SERVICE}; {change};"), "--to-env", "NEW", NEW=url)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(found(engine)) == 3


def test_a_segment_that_is_drawn_from_during_the_move_only_goes_forward(sqlite, url, engine):
    old = sqlite(SERVICE)
    orders = found(engine)["default", "orders"]
    moving = Thread(target=move, args=(old, url))
    moving.start()
    drawn = [segments.allocate(engine, orders, 0, 10, holder="a").start for _ in range(300)]
    moving.join()
    assert drawn == sorted(set(drawn))
    assert segments.allocate(engine, orders, 0, 10, holder="a").start >= 123_457
