"""The move itself: table by table in batches, then both sides read again and compared."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, Engine

from app.move import target
from app.move.mapping import BadSourceError
from app.move.records import KEYS, TABLES, Checksum, Held, Record
from app.move.source import Places, Reader

BATCH = 500
MOST_NAMED = 20
TOGETHER = {"biz_tags": "segments"}
"""Written in one transaction: a tag without its segment would begin at 1 and repeat what was issued."""
Progress = Callable[[str, int, int], None]
"""progress(table, rows done, rows of the source)"""


@dataclass
class Moved:
    """One table: rows of the source, and what happened to them.

    copied: new in the target. replaced: were there as a new database has them, or with --replace. present:
    were there. differing: keys of rows that are there with another content, which was left.
    checksum_*: over the source's rows, and over the target's rows with the same keys.
    """

    table: str
    source: int = 0
    copied: int = 0
    replaced: int = 0
    present: int = 0
    differing: list[str] = field(default_factory=list)
    target: int = 0
    checksum_source: str = ""
    checksum_target: str = ""

    @property
    def equal(self) -> bool:
        """Whether every row of the source is in the target as it is in the source."""
        return (self.source, self.checksum_source) == (self.target, self.checksum_target)

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {**asdict(self), "equal": self.equal}


@dataclass
class _Plan:
    """What of a batch is to be written."""

    new: list[Record]
    over: list[Record]


def move(
    source: Engine,
    into: Engine,
    places: Places,
    *,
    dry_run: bool = False,
    replace: bool = False,
    batch: int = BATCH,
    progress: Progress = lambda table, done, of: None,
) -> list[Moved]:
    """Bring what the source has into the target; one result a table.

    Reads and checks the whole source before it writes anything. Each batch is one transaction, and rows that
    are there are never written again: a move that was killed goes on when it's started again. Raises
    BadSourceError, BadTargetError, or what the databases raise.
    """
    with contextlib.ExitStack() as opened:
        reader = Reader(opened.enter_context(source.connect()), places)
        results = {table: Moved(table, source=_count(reader.records(table))) for table in TABLES}
        writing = opened.enter_context(into.connect())
        target.claim(writing)
        done: set[str] = set()
        for table in TABLES:
            if table not in done:
                tables = [table, *filter(None, [TOGETHER.get(table)])]
                _copy(reader, writing, tables, results, _Options(places, dry_run, replace, batch, progress))
                done.update(tables)
        for table in TABLES:
            _compare(reader, writing, results[table], places)
        return list(results.values())


@dataclass(frozen=True)
class _Options:
    places: Places
    dry_run: bool
    replace: bool
    batch: int
    progress: Progress


def _copy(
    reader: Reader, writing: Connection, tables: list[str], results: dict[str, Moved], options: _Options
) -> None:
    """One table, or a table with the one that belongs to its rows."""
    with writing.begin():
        there = {name: _by_key(Reader(writing, options.places).records(name)) for name in tables}
    table, *others = tables
    belonging = {name: _by_owner(reader.records(name)) for name in others}
    seen = 0
    for rows in _batches(reader.records(table), options.batch):
        with writing.begin():
            writer = target.Writer(writing)
            _write(writer, rows, there[table], results[table], options)
            for name in others:
                mine = [one for row in rows for one in belonging[name].get(row.key, [])]
                _write(writer, mine, there[name], results[name], options)
        seen += len(rows)
        options.progress(table, seen, results[table].source)


def _write(
    writer: target.Writer, rows: list[Record], there: dict[object, Held], result: Moved, options: _Options
) -> None:
    plan = _Plan([], [])
    for row in rows:
        other = there.get(row.key)
        if other is None:
            plan.new.append(row)
        elif _agrees(row.held, other):
            result.present += 1
        elif row.table == "segments" or other.blank or options.replace:
            plan.over.append(row)
        else:
            result.differing.append(row.told())
    if not options.dry_run:
        writer.write(result.table, plan.new, plan.over)
    result.copied += len(plan.new)
    result.replaced += len(plan.over)


def _agrees(row: Held, other: Held) -> bool:
    """A segment may be further: then it's past the old values all the more."""
    return row.digest == other.digest or other.next_id > row.next_id


def _compare(reader: Reader, writing: Connection, result: Moved, places: Places) -> None:
    """Reads both sides anew; the target's rows that the source doesn't have don't count."""
    theirs = _by_key(reader.records(result.table))
    ours = Checksum()
    with writing.begin():
        for other in Reader(writing, places).records(result.table):
            row = theirs.get(other.key)
            if row is not None:
                ours.add(row.digest if _agrees(row, other.held) else other.digest)
    result.checksum_source = str(Checksum(row.digest for row in theirs.values()))
    result.target, result.checksum_target = ours.rows, str(ours)
    result.differing = result.differing[:MOST_NAMED]


def _by_key(records: Iterable[Record]) -> dict[object, Held]:
    return {record.key: record.held for record in records}


def _by_owner(segments: Iterable[Record]) -> dict[object, list[Record]]:
    """Segments by their tag's key."""
    owners: dict[object, list[Record]] = {}
    for one in segments:
        owners.setdefault((one.content["workspace"], one.content["tag"]), []).append(one)
    return owners


def _batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    while rows := list(itertools.islice(records, size)):
        yield rows


def _count(records: Iterator[Record]) -> int:
    """Also reads every row, so that one that can't be moved is met before anything is written."""
    keys, count = set(), 0
    for record in records:
        count += 1
        if record.table in KEYS:
            if record.key in keys:
                raise BadSourceError(f"{record.table} {record.told()}: is there twice; allowed: once")
            keys.add(record.key)
    return count
