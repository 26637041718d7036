"""Whether a schema may change under a version that runs. Pure: judges SQL text.

A statement is safe only when it has a form that is known to leave older readers and writers working; anything
else is unsafe. What can't be seen in the text (the content of functions, triggers and data changes) is the
author's word, given by the label `expand`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from app.migrate.revisions import Revision

UNKNOWN = "is not of a form known to be safe"
REFUSES = "a constraint refuses rows that the running version may write"
_NAME = r'"?([a-z_][a-z0-9_]*)"?'
_HARMLESS = re.compile(
    r"CREATE (TABLE|(OR REPLACE )?FUNCTION|TRIGGER)|INSERT INTO|UPDATE |COMMENT ON", re.IGNORECASE
)
_MADE = re.compile(rf"CREATE TABLE {_NAME}", re.IGNORECASE)
_INDEX = re.compile(rf"CREATE (UNIQUE )?INDEX (?:CONCURRENTLY )?{_NAME} ON {_NAME}", re.IGNORECASE)
_ALTER = re.compile(rf"ALTER TABLE (?:ONLY )?{_NAME} (.*)", re.IGNORECASE | re.DOTALL)
_ADD_COLUMN = re.compile(rf"ADD COLUMN {_NAME} (.*)", re.IGNORECASE | re.DOTALL)
_ADD_CONSTRAINT = re.compile(
    rf"ADD (?:CONSTRAINT {_NAME} )?(?:CHECK|FOREIGN KEY) ?(\(.*)", re.IGNORECASE | re.DOTALL
)
_DROP_CONSTRAINT = re.compile(rf"DROP CONSTRAINT {_NAME}$", re.IGNORECASE)


@dataclass(frozen=True)
class Unsafe:
    """A statement that may break a running version. sql is the statement, shortened to one line."""

    revision: str
    phase: str
    reason: str
    sql: str


@dataclass(frozen=True)
class Verdict:
    """Whether the schema of `to` is safe while a version of revision `running` runs."""

    running: str
    to: str
    revisions: tuple[str, ...]
    unsafe: tuple[Unsafe, ...]

    @property
    def safe(self) -> bool:
        """True when no statement was found unsafe."""
        return not self.unsafe

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {"safe": self.safe, **asdict(self)}


def judge(
    running: str, to: str, known: Sequence[Revision], statements_of: Callable[[str], Iterable[str]]
) -> Verdict:
    """Judge what lies between the two revisions, also when `to` is the older one.

    Then nothing is applied, but the older version meets a schema that went on, and whether it can live with
    it is the same question. known: all revisions, oldest first; both ids must be among them.
    """
    ids = [one.id for one in known]
    low, high = sorted((ids.index(running), ids.index(to)))
    between = known[low + 1 : high + 1]
    found: list[Unsafe] = []
    for revision in between:
        mine = unsafe_in(revision, statements_of(revision.id))
        if revision.phase == "contract" and not mine:
            mine = [Unsafe(revision.id, revision.phase, "is labelled contract by its author", "")]
        found += mine
    return Verdict(running, to, tuple(one.id for one in between), tuple(found))


def unsafe_in(revision: Revision, statements: Iterable[str]) -> list[Unsafe]:
    """The statements of one revision that an older version may not survive."""
    tables: set[str] = set()
    columns: set[str] = set()
    found = []
    for statement in statements:
        if made := _MADE.match(statement):
            tables.add(made[1].lower())
        reason = _reason(statement, tables, columns, revision.widens)
        if reason:
            found.append(Unsafe(revision.id, revision.phase, reason, _one_line(statement)))
    return found


def _reason(statement: str, tables: set[str], columns: set[str], widens: Sequence[str]) -> str | None:
    """Why the statement is unsafe; None when it isn't. Adds to `columns` what it adds."""
    if index := _INDEX.match(statement):
        unique_on_old = index[1] and index[3].lower() not in tables
        return "a unique index refuses rows that the running version may write" if unique_on_old else None
    if alter := _ALTER.match(statement):
        if alter[1].lower() in tables:
            return None  # nobody uses a table that this revision makes
        return _alteration(alter[2].strip(), columns, widens)
    if _HARMLESS.match(statement):
        return None
    return UNKNOWN


def _alteration(action: str, columns: set[str], widens: Sequence[str]) -> str | None:
    if added := _ADD_COLUMN.match(action):
        columns.add(added[1].lower())
        return _column(added[2].upper())
    if dropped := _DROP_CONSTRAINT.match(action):
        return None if dropped[1] in widens else "drops a constraint that the running version may count on"
    if constraint := _ADD_CONSTRAINT.match(action):
        # On a column that this revision adds it can't meet a row of the running version but with the default.
        own = constraint[2].partition("REFERENCES")[0]
        on_new = any(re.search(rf"\b{column}\b", own) for column in columns)
        return None if on_new or constraint[1] in widens else REFUSES
    reasons = (reason for pattern, reason in _KNOWN_UNSAFE if re.search(pattern, action, re.IGNORECASE))
    return next(reasons, UNKNOWN)


def _column(rest: str) -> str | None:
    if "NOT NULL" in rest and "DEFAULT" not in rest:
        return "a column NOT NULL without a default refuses the running version's inserts"
    return REFUSES if re.search(r"\b(UNIQUE|PRIMARY KEY)\b", rest) else None


_KNOWN_UNSAFE = (
    (r"^DROP (COLUMN|TABLE)", "drops a column that the running version may use"),
    (r"^RENAME", "renames what the running version uses"),
    (r"SET NOT NULL", "NOT NULL refuses rows that the running version may write"),
    (r"(SET DATA )?TYPE ", "changes a type that the running version uses"),
    (r"^ADD CONSTRAINT .* (UNIQUE|PRIMARY KEY)", REFUSES),
)


def _one_line(statement: str) -> str:
    return " ".join(statement.split())[:300]
