"""Bring the database to the schema of this version, or say whether that is safe.

upgrade [--contract]  apply expand revisions up to the first contract one; with --contract all of them
current [--json]      print the database's revision and this version's
check --running REV   say whether the schema of REV's successor --to (default: this version's newest) is safe
                      while a version that was made for REV runs; needs no database

Repeatable, and safe when several hosts run it at once: one works, the others wait for its advisory lock.
Reads PLUMBLINE_DATABASE_URL and PLUMBLINE_BOOTSTRAP_KEY_SHA256 (64 hex digits of a first key's SHA-256).
Exit codes: 0 done or safe, 1 the database refused or didn't answer, 2 bad input, 3 unsafe.
Example: `PLUMBLINE_DATABASE_URL=postgresql://... python -m app.migrate upgrade`
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from app.migrate import revisions, safety, schema

DONE, DATABASE, BAD_INPUT, UNSAFE = 0, 1, 2, 3
URL, KEY = "PLUMBLINE_DATABASE_URL", "PLUMBLINE_BOOTSTRAP_KEY_SHA256"


def main(arguments: list[str] | None = None) -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m app.migrate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    upgrade = actions.add_parser("upgrade")
    upgrade.add_argument("--contract", action="store_true", help="also what breaks older versions")
    current = actions.add_parser("current")
    current.add_argument("--json", action="store_true")
    check = actions.add_parser("check")
    check.add_argument("--running", required=True, metavar="REV")
    check.add_argument("--to", default=revisions.head(), metavar="REV")
    check.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.action == "check":
            return _check(chosen.running, chosen.to, chosen.json)
        engine, key = _from(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    try:
        if chosen.action == "upgrade":
            return _upgrade(engine, chosen.contract, key)
        _current(engine, chosen.json)
    except DBAPIError as error:
        print(f"the database did not do it: {str(error.orig).strip()}", file=sys.stderr)
        return DATABASE
    finally:
        engine.dispose()
    return DONE


def _upgrade(engine: Engine, contract: bool, key: bytes | None) -> int:
    try:
        done = schema.upgrade(engine, contract=contract, bootstrap_sha256=key)
    except schema.DatabaseAheadError as error:
        print(error, file=sys.stderr)
        return UNSAFE
    was = " (unchanged)" if done.before == done.after else f" (was {done.before or 'empty'})"
    left = f"; {', '.join(done.waiting)} wait for --contract" if done.waiting else ""
    print(f"schema {done.after}{was}{left}")
    return DONE


def _current(engine: Engine, as_json: bool) -> None:
    with engine.connect() as connection:
        now = schema.current(connection)
    told = {"database": now, "version": revisions.head()}
    print(json.dumps(told) if as_json else f"database {now or 'empty'}, this version {revisions.head()}")


def _check(running: str, to: str, as_json: bool) -> int:
    known = revisions.all_revisions()
    for option, value in (("--running", running), ("--to", to)):
        if value not in {one.id for one in known}:
            raise ValueError(
                f"{option}: {value!r} is not known; allowed: {', '.join(one.id for one in known)}"
            )
    verdict = safety.judge(running, to, known, revisions.statements)
    if as_json:
        print(json.dumps(verdict.as_json()))
    elif verdict.safe:
        between = ", ".join(verdict.revisions) or "nothing"
        print(f"safe: between {running} and {to} lies {between}, all of it expand")
    else:
        print(f"unsafe: the schema of {to} while {running} runs")
        for one in verdict.unsafe:
            print(f"  revision {one.revision} ({one.phase}): {one.reason}\n    {one.sql or '(all of it)'}")
    return DONE if verdict.safe else UNSAFE


def _from(environment: Mapping[str, str]) -> tuple[Engine, bytes | None]:
    """The engine and the bootstrap key's hash. Raises ValueError, naming no secret."""
    url = environment.get(URL, "")
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError(f"{URL}: not set or not a postgresql:// URL")
    key = environment.get(KEY, "")
    if key and not re.fullmatch(r"[0-9a-f]{64}", key):
        raise ValueError(f"{KEY}: {len(key)} characters; allowed: 64 hex digits in lower case")
    address = "postgresql+psycopg://" + url.partition("://")[2]
    engine = create_engine(address, connect_args={"connect_timeout": 5})
    return engine, bytes.fromhex(key) if key else None
