"""Every revision says whether a running version survives it, and its SQL agrees."""

import json

import pytest

from app.migrate import main
from app.migrate.revisions import Revision, all_revisions, statements
from app.migrate.safety import judge, unsafe_in

KNOWN = all_revisions()


@pytest.mark.parametrize("revision", KNOWN, ids=lambda one: one.id)
def test_every_revision_has_a_phase_and_a_summary(revision):
    assert revision.phase in ("expand", "contract")
    assert revision.summary


@pytest.mark.parametrize("revision", [one for one in KNOWN if one.phase == "expand"], ids=lambda one: one.id)
def test_an_expand_revision_has_no_statement_that_a_running_version_may_not_survive(revision):
    assert unsafe_in(revision, statements(revision.id)) == []


@pytest.mark.parametrize(
    "revision", [one for one in KNOWN if one.phase == "contract"], ids=lambda one: one.id
)
def test_a_contract_revision_really_needs_to_be_one(revision):
    assert unsafe_in(revision, statements(revision.id)) != []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DROP TABLE biz_tags", "not of a form"),
        ("ALTER TABLE biz_tags DROP COLUMN step", "drops a column"),
        ("ALTER TABLE biz_tags RENAME step TO size", "renames"),
        ("ALTER TABLE biz_tags RENAME TO tags", "renames"),
        ("ALTER TABLE biz_tags ADD COLUMN owner TEXT NOT NULL", "without a default"),
        ("ALTER TABLE biz_tags ADD COLUMN owner TEXT UNIQUE", "refuses rows"),
        ("ALTER TABLE biz_tags ALTER COLUMN step TYPE BIGINT", "changes a type"),
        ("ALTER TABLE biz_tags ALTER COLUMN step SET NOT NULL", "NOT NULL refuses"),
        ("ALTER TABLE biz_tags DROP CONSTRAINT biz_tags_step", "drops a constraint"),
        ("ALTER TABLE biz_tags ADD CONSTRAINT one UNIQUE (algorithm)", "refuses rows"),
        ("ALTER TABLE biz_tags ADD CONSTRAINT more CHECK (step > 9)", "refuses rows"),
        ("ALTER TABLE biz_tags ADD FOREIGN KEY(step) REFERENCES steps (id)", "refuses rows"),
        ("CREATE UNIQUE INDEX one ON biz_tags (algorithm)", "unique index"),
        ("DELETE FROM biz_tags", "not of a form"),
        ("TRUNCATE biz_tags", "not of a form"),
        ("ALTER TABLE biz_tags ALTER COLUMN step DROP DEFAULT", "not of a form"),
    ],
)
def test_a_statement_that_may_break_a_running_version_is_found(statement, reason):
    (found,) = unsafe_in(Revision("0009", "expand", "x"), [statement])
    assert reason in found.reason
    assert found.sql == statement


ADD, ALTER = "ALTER TABLE biz_tags ADD", "ALTER TABLE new ALTER COLUMN a SET NOT NULL"
WIDE = "ALTER TABLE biz_tags DROP CONSTRAINT wide"


@pytest.mark.parametrize(
    "made",
    [
        [f"{ADD} COLUMN owner TEXT"],
        [f"{ADD} COLUMN owner TEXT DEFAULT 'x' NOT NULL"],
        [f"{ADD} COLUMN owner BIGINT", f"{ADD} FOREIGN KEY(owner) REFERENCES o (id)"],
        ["CREATE INDEX more ON biz_tags (algorithm)"],
        ["CREATE TABLE new (a INT)", "CREATE UNIQUE INDEX one ON new (a)", ALTER],
        [WIDE, f"{ADD} CONSTRAINT wide CHECK (step > 0)"],
    ],
)
def test_a_change_that_older_versions_do_not_notice_is_safe(made):
    assert unsafe_in(Revision("0009", "expand", "x", widens=("wide",)), made) == []


def test_the_verdict_names_the_revision_and_the_statement():
    known = [Revision("1", "expand", "a"), Revision("2", "expand", "b"), Revision("3", "contract", "c")]
    sql = {"1": ["CREATE TABLE a (x INT)"], "2": ["CREATE INDEX i ON a (x)"], "3": ["DROP TABLE a"]}
    assert judge("1", "2", known, sql.get).safe
    verdict = judge("1", "3", known, sql.get)
    assert [(one.revision, one.sql) for one in verdict.unsafe] == [("3", "DROP TABLE a")]
    assert verdict.revisions == ("2", "3")


def test_going_back_over_a_contract_revision_is_unsafe_too():
    known = [Revision("1", "expand", "a"), Revision("2", "contract", "c")]
    sql = {"2": ["CREATE INDEX i ON a (x)"]}  # its author knows better than the text
    assert not judge("2", "1", known, sql.get).safe
    assert judge("2", "2", known, sql.get).safe


def test_check_exits_0_3_or_2_and_tells_machines(capsys):
    assert main(["check", "--running", "0001", "--to", "0003", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["safe"] is True
    assert main(["check", "--running", "0001", "--to", "0004", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert {one["revision"] for one in told["unsafe"]} == {"0004"}
    assert any("DROP CONSTRAINT biz_tags_name_key" in one["sql"] for one in told["unsafe"])
    assert main(["check", "--running", "0815"]) == 2
    assert "--running: '0815' is not known; allowed: 0001" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "PLUMBLINE_DATABASE_URL: not set"),
        ({"PLUMBLINE_DATABASE_URL": "mysql://x"}, "PLUMBLINE_DATABASE_URL"),
        (
            {"PLUMBLINE_DATABASE_URL": "postgresql://x/y", "PLUMBLINE_BOOTSTRAP_KEY_SHA256": "plk_secret"},
            "PLUMBLINE_BOOTSTRAP_KEY_SHA256: 10 characters; allowed: 64 hex digits",
        ),
    ],
)
def test_a_wrong_environment_is_one_line_without_the_secret(environment, told, monkeypatch, capsys):
    for key in ("PLUMBLINE_DATABASE_URL", "PLUMBLINE_BOOTSTRAP_KEY_SHA256"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert main(["upgrade"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "plk_secret" not in error
