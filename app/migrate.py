"""Bring the database to the schema of this version: `python -m app.migrate upgrade`.

Repeatable, and safe when several hosts run it at once: one works, the others wait for its advisory lock.
Reads PLUMBLINE_DATABASE_URL. Example: `PLUMBLINE_DATABASE_URL=postgresql://... python -m app.migrate upgrade`
"""

import argparse
import os
import sys
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from app.storage.models import BizTag

LOCK_KEY = 7_586_114_219  # any number, the same for all versions
LOCK_TIMEOUT_MS = 60_000
SEEDED_TAGS = (
    {"name": "orders", "algorithm": "segment"},
    {"name": "events", "algorithm": "snowflake"},
    {"name": "smoke", "algorithm": "snowflake"},  # for checks after an installation
)


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without an ini file: the revisions lie inside this package."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("app.migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Apply what is missing and seed the first tags; returns the revision before and after."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        # Held to the end of the transaction, so released even when this process is killed.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        before = current(connection)
        command.upgrade(alembic_config(connection), "head")
        connection.execute(insert(BizTag).values(list(SEEDED_TAGS)).on_conflict_do_nothing())
        return before, str(current(connection))


def current(connection: Connection) -> str | None:
    """The database's revision; None when it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 done, 1 the database refused or didn't answer, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m app.migrate", description=__doc__)
    parser.add_argument("action", choices=["upgrade", "current"])
    action = parser.parse_args(arguments).action
    url = os.environ.get("PLUMBLINE_DATABASE_URL", "")
    if not url.startswith("postgresql"):
        print("PLUMBLINE_DATABASE_URL: not set or not a postgresql:// URL", file=sys.stderr)
        return 2
    url = "postgresql+psycopg://" + url.partition("://")[2]
    engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        if action == "upgrade":
            before, after = upgrade(engine)
            print(f"schema {after}" + (" (unchanged)" if before == after else f" (was {before or 'empty'})"))
        else:
            head = ScriptDirectory.from_config(alembic_config()).get_current_head()
            with engine.connect() as connection:
                print(f"database {current(connection) or 'empty'}, this version {head}")
    except OperationalError as error:
        print(f"the database did not do it: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
