"""The revisions of this version, in order, each with its phase and its SQL. Opens no database."""

import io
from dataclasses import dataclass
from functools import cache
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

PHASES = ("expand", "contract")


@dataclass(frozen=True)
class Revision:
    """phase: `expand` leaves a running older version working, `contract` may not.

    widens: names of CHECK constraints that it replaces by ones that allow more.
    """

    id: str
    phase: str
    summary: str
    widens: tuple[str, ...] = ()


class UnknownRevisionError(Exception):
    """No such revision in this version."""


def configuration() -> Config:
    """Alembic's, without an ini file: the revisions lie inside the package app.migrations."""
    made = Config()
    made.set_main_option("script_location", str(resources.files("app.migrations")))
    return made


@cache
def all_revisions() -> tuple[Revision, ...]:
    """Oldest first. Raises ValueError for one without a phase."""
    scripts = ScriptDirectory.from_config(configuration()).walk_revisions()
    made = []
    for script in scripts:
        phase = getattr(script.module, "phase", None)
        if phase not in PHASES:
            raise ValueError(f"revision {script.revision}: phase {phase!r}; allowed: {', '.join(PHASES)}")
        widens = tuple(getattr(script.module, "widens", ()))
        made.append(Revision(script.revision, phase, script.doc, widens))
    return tuple(reversed(made))


def head() -> str:
    """The newest revision's id."""
    return all_revisions()[-1].id


def after(revision: str | None) -> tuple[Revision, ...]:
    """The revisions that a database at `revision` (None: empty) lacks. Raises UnknownRevisionError."""
    known = all_revisions()
    if revision is None:
        return known
    ids = [one.id for one in known]
    if revision not in ids:
        raise UnknownRevisionError(f"revision {revision!r} is not known; allowed: {', '.join(ids)}")
    return known[ids.index(revision) + 1 :]


def statements(revision: str) -> tuple[str, ...]:
    """The SQL of one revision, one statement each, as it would run."""
    ids = [one.id for one in all_revisions()]
    before = ids[ids.index(revision) - 1] if ids.index(revision) else "base"
    written = _Statements()
    offline = configuration()
    offline.output_buffer = written
    command.upgrade(offline, f"{before}:{revision}", sql=True)
    return tuple(written.whole)


class _Statements(io.StringIO):
    """Alembic writes each statement by one call, so nothing need be split (functions have semicolons)."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[str] = []

    def write(self, text: str) -> int:
        lines = [line for line in text.strip().splitlines() if not line.startswith("-- ")]
        statement = "\n".join(lines).strip().removesuffix(";")
        if statement and statement not in ("BEGIN", "COMMIT"):
            self.whole.append(statement)
        return len(text)
