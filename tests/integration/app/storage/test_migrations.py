"""The schema's steps on a real Postgres: under a version that runs, by several hosts, and again."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.migrate import DatabaseAheadError, current, differences, main, revisions, upgrade
from app.storage.models import DATACENTER_SPAN
from app.storage.tags import TagDirectory

pytestmark = pytest.mark.integration

OLD_SPAN = 1 << 60
OLD_SEED = "INSERT INTO biz_tags (name, algorithm) VALUES (:name, 'segment') ON CONFLICT DO NOTHING"
OLD_LOOK_UP = "SELECT id, name, algorithm, step FROM biz_tags WHERE name = :name"
OLD_NEW_SEGMENT = """
INSERT INTO segments (tag_id, datacenter, next_id, last_id)
VALUES (:tag, :dc, :dc * 1152921504606846976 + 1, (:dc + 1) * 1152921504606846976 - 1)
ON CONFLICT DO NOTHING"""
OLD_READ = "SELECT next_id, last_id, version FROM segments WHERE tag_id = :tag AND datacenter = :dc"
OLD_TAKE = """
UPDATE segments SET next_id = :next_id, version = :version + 1, updated_at = now()
WHERE tag_id = :tag AND datacenter = :dc AND version = :version"""


class OldVersion:
    """The statements that a version of revision 0001 sends."""

    def __init__(self, engine) -> None:
        self._engine = engine
        self._state = None

    def run(self, statement, **values):
        with self._engine.begin() as connection:
            return connection.execute(text(statement), values)

    def rows(self, statement, **values):
        with self._engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def read(self, tag, dc):
        self._state = self.rows(OLD_READ, tag=tag, dc=dc)[0]
        return self._state

    def take(self, tag, dc, size):
        """Whether it won; with the state that it read last."""
        next_id, _, version = self._state
        return self.run(OLD_TAKE, tag=tag, dc=dc, next_id=next_id + size, version=version).rowcount == 1


@pytest.fixture
def at_0001(empty):
    config = revisions.configuration()
    with empty.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    return empty


def test_an_empty_database_gets_everything_and_is_what_the_models_say(empty):
    done = upgrade(empty)
    assert (done.before, done.after, done.waiting) == (None, revisions.head(), ())
    with empty.connect() as connection:
        assert differences(connection) == []


def test_a_database_in_use_stops_before_the_first_contract_revision(at_0001):
    done = upgrade(at_0001)
    assert (done.before, done.after, done.waiting) == ("0001", "0003", ("0004",))
    assert upgrade(at_0001).before == "0003"
    done = upgrade(at_0001, contract=True)
    assert (done.before, done.after, done.waiting) == ("0003", "0004", ())
    with at_0001.connect() as connection:
        assert differences(connection) == []
        phases = connection.execute(text("SELECT revision, phase FROM schema_history ORDER BY 1")).all()
    assert [tuple(row) for row in phases] == [(one.id, one.phase) for one in revisions.all_revisions()]


def test_a_version_of_0001_goes_on_working_under_the_expanded_schema(at_0001):
    old = OldVersion(at_0001)
    old.run(OLD_SEED, name="before")
    tag = old.rows(OLD_LOOK_UP, name="before")[0][0]
    for dc in (0, 2):
        old.run(OLD_NEW_SEGMENT, tag=tag, dc=dc)
    old.read(tag, 0)
    assert old.take(tag, 0, 500)
    old.read(tag, 0)  # and is then overtaken by the migration
    upgrade(at_0001)
    assert not old.take(tag, 0, 500), "the optimistic lock must notice that the segment changed"
    assert old.read(tag, 0)[:2] == (501, DATACENTER_SPAN - 1)
    assert old.take(tag, 0, 500)
    assert old.read(tag, 2)[:2] == (2 * DATACENTER_SPAN + 1, 3 * DATACENTER_SPAN - 1)
    old.run(OLD_NEW_SEGMENT, tag=tag, dc=5)
    assert old.read(tag, 5)[:2] == (5 * DATACENTER_SPAN + 1, 6 * DATACENTER_SPAN - 1)
    old.run(OLD_SEED, name="orders")
    old.run(OLD_SEED, name="meanwhile")
    assert old.rows(OLD_LOOK_UP, name="meanwhile")[0][1:] == ("meanwhile", "segment", 10_000)
    found = {tag.name: tag for tag in TagDirectory(at_0001, lambda: 0.0).load()}
    assert {"before", "meanwhile"} <= set(found)
    assert {(one.workspace, one.group) for one in found.values()} == {("default", "default")}


def test_a_tags_name_is_unique_in_its_workspace_alone_once_contracted(at_0001):
    upgrade(at_0001)
    with at_0001.begin() as connection:
        connection.execute(text("INSERT INTO workspaces (name) VALUES ('other')"))
        connection.execute(text("INSERT INTO groups (workspace_id, name) SELECT id, 'g' FROM workspaces"))
    mine = (
        "INSERT INTO biz_tags (group_id, name, algorithm) SELECT g.id, 'orders', 'uuid7' FROM groups g "
        "JOIN workspaces w ON w.id = g.workspace_id WHERE w.name = 'other'"
    )
    with pytest.raises(IntegrityError), at_0001.begin() as connection:
        connection.execute(text(mine))
    upgrade(at_0001, contract=True)
    with at_0001.begin() as connection:
        connection.execute(text(mine))
    with pytest.raises(IntegrityError), at_0001.begin() as connection:
        connection.execute(text(mine))
    found = [
        (tag.workspace, tag.algorithm)
        for tag in TagDirectory(at_0001, lambda: 0.0).load()
        if tag.name == "orders"
    ]
    assert sorted(found) == [("default", "segment"), ("other", "uuid7")]


def test_four_hosts_at_once_apply_it_once(empty_url):
    environment = {**os.environ, "PLUMBLINE_DATABASE_URL": empty_url}
    with ThreadPoolExecutor(4) as pool:
        runs = list(
            pool.map(
                lambda _: subprocess.run(
                    [sys.executable, "-m", "app.migrate", "upgrade"],
                    env=environment, capture_output=True, text=True, check=True, timeout=120,
                ),
                range(4),
            )
        )  # fmt: skip
    assert sorted("(unchanged)" in run.stdout for run in runs) == [False, True, True, True]


def test_a_second_upgrade_changes_nothing_not_even_a_changed_tag(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE biz_tags SET step = 77 WHERE name = 'orders'"))
    assert upgrade(engine).before == revisions.head()
    (orders,) = (tag for tag in TagDirectory(engine, lambda: 0.0).load() if tag.name == "orders")
    assert orders.step == 77


def test_the_first_keys_hash_comes_from_the_environment_and_is_there_once(url, engine, monkeypatch):
    digest = hashlib.sha256(b"plk_x").hexdigest()
    monkeypatch.setenv("PLUMBLINE_DATABASE_URL", url)
    monkeypatch.setenv("PLUMBLINE_BOOTSTRAP_KEY_SHA256", digest)
    assert main(["upgrade"]) == 0
    assert main(["upgrade"]) == 0
    with engine.connect() as connection:
        keys = connection.execute(text("SELECT name, encode(sha256, 'hex'), scopes FROM api_keys")).all()
    assert [tuple(row) for row in keys] == [("bootstrap", digest, ["issue", "read", "admin", "operate"])]


def newer(engine, phase: str) -> None:
    """What a newer version with revision 0099 leaves."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        row = {"revision": "0099", "phase": phase}
        connection.execute(text("INSERT INTO schema_history VALUES (:revision, :phase)"), row)


def test_a_database_that_a_newer_version_expanded_is_left_alone(engine):
    newer(engine, "expand")
    assert upgrade(engine).after == "0099"


def test_a_database_that_a_newer_version_contracted_is_refused(url, engine, monkeypatch, capsys):
    newer(engine, "contract")
    with pytest.raises(DatabaseAheadError, match="0099"):
        upgrade(engine)
    monkeypatch.setenv("PLUMBLINE_DATABASE_URL", url)
    assert main(["upgrade"]) == 3
    assert "0099 (contract)" in capsys.readouterr().err


def test_the_revisions_of_database_and_version_are_told_to_machines(at_0001, empty_url, monkeypatch, capsys):
    monkeypatch.setenv("PLUMBLINE_DATABASE_URL", empty_url)
    assert main(["current", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"database": "0001", "version": revisions.head()}


def test_a_table_in_long_use_ends_the_upgrade_soon_and_changes_nothing(at_0001, monkeypatch):
    monkeypatch.setattr("app.migrate.schema.TABLE_LOCK_TIMEOUT_MS", 300)
    with at_0001.connect() as reader:
        reader.execute(text("SELECT * FROM biz_tags"))
        with pytest.raises(Exception, match="lock timeout"):
            upgrade(at_0001)
    with at_0001.connect() as connection:
        assert current(connection) == "0001"
    assert upgrade(at_0001).after == "0003"


def test_a_database_that_does_not_answer_is_said_and_exits_1(monkeypatch, capsys):
    monkeypatch.setenv("PLUMBLINE_DATABASE_URL", "postgresql://ids:x@127.0.0.1:9/ids")
    assert main(["upgrade"]) == 1
    assert "the database did not do it" in capsys.readouterr().err


def test_rows_that_make_no_sense_are_refused_by_the_database(engine):
    refused = (
        "UPDATE biz_tags SET algorithm = 'No Such'",
        "UPDATE biz_tags SET format = 'hex'",
        "UPDATE biz_tags SET group_id = 999",
        "INSERT INTO segments SELECT id, 8, 1, 9 FROM biz_tags",
        "INSERT INTO segments SELECT id, 0, 0, 9 FROM biz_tags",
        f"INSERT INTO segments SELECT id, 0, 1, {OLD_SPAN} FROM biz_tags",
        "INSERT INTO segment_tails (tag_id, datacenter, first, last) SELECT id, 0, 9, 8 FROM biz_tags",
        "INSERT INTO worker_epochs (datacenter, worker, epoch, holder) VALUES (0, 256, 1, 'x')",
        "INSERT INTO api_keys (workspace_id, name, prefix, sha256, scopes) "
        "SELECT id, 'k', 'p', 'short', ARRAY['issue'] FROM workspaces",
        "INSERT INTO api_keys (workspace_id, name, prefix, sha256, scopes) "
        "SELECT id, 'k', 'p', sha256('x'), ARRAY['all'] FROM workspaces",
        "INSERT INTO groups (workspace_id, name) SELECT id, 'default' FROM workspaces",
    )
    for statement in refused:
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text(statement))
