"""Reads a database of an ID service as records, whatever its columns are called. Also reads the target."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, inspect, select
from sqlalchemy.engine import URL

from app.move import mapping
from app.move.mapping import BadSourceError, Row
from app.move.records import Record

LEAF = "leaf_alloc"
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=0"
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Places:
    """Where rows go whose database knows no workspaces or groups."""

    workspace: str = "default"
    group: str = "default"


def open_source(address: URL) -> Engine:
    """An engine that can only read, and sees one moment of a Postgres for as long as a transaction lasts."""
    if address.drivername == "sqlite":
        return create_engine(address)
    arguments = {"connect_timeout": 5, "options": READ_ONLY, "application_name": "plumbline-move"}
    return create_engine(address, isolation_level="REPEATABLE READ", connect_args=arguments)


class Reader:
    """The records of one open connection. Raises BadSourceError, or what the database raises."""

    def __init__(self, connection: Connection, places: Places) -> None:
        self._connection, self._places = connection, places
        self._names = set(inspect(connection).get_table_names())
        self._tags_table = "biz_tags" if "biz_tags" in self._names else LEAF
        if self._tags_table not in self._names:
            raise BadSourceError(
                f"no table biz_tags or {LEAF}; it has: {', '.join(sorted(self._names)) or 'none'}"
            )
        self._workspace_names = {row["id"]: row["name"] for row in self._rows("workspaces")}
        self._group_rows = {row["id"]: row for row in self._rows("groups")}

    def records(self, table: str) -> Iterator[Record]:
        """All rows of one of records.TABLES, in the order of their ids where they have any."""
        readers: dict[str, Callable[[], Iterator[Record]]] = {
            "workspaces": self._workspaces,
            "groups": self._groups,
            "biz_tags": lambda: (record for _, record in self._tags()),
            "segments": self._segments,
            "api_keys": lambda: self._of_workspace("api_keys", mapping.api_key),
            "snapshots": lambda: self._of_workspace("snapshots", mapping.snapshot),
            "audit_events": self._audit_events,
        }
        return readers[table]()

    def _rows(self, name: str) -> Iterator[Row]:
        if name not in self._names:
            return
        table = Table(name, MetaData(), autoload_with=self._connection, resolve_fks=False)
        query = select(table).order_by(table.c.id) if "id" in table.c else select(table)
        result = self._connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
        for row in result.mappings():
            yield dict(row)

    def _workspaces(self) -> Iterator[Record]:
        yield from map(mapping.workspace, self._rows("workspaces"))
        if "workspaces" not in self._names:
            yield mapping.workspace({"name": self._places.workspace})

    def _groups(self) -> Iterator[Record]:
        for row in self._group_rows.values():
            yield mapping.group(row, self._workspace_of("groups", row))
        if "groups" not in self._names:
            names = self._workspace_names.values() if self._workspace_names else [self._places.workspace]
            for name in names:
                yield mapping.group({"name": self._places.group}, name)

    def _tags(self) -> Iterator[tuple[Row, Record]]:
        for row in self._rows(self._tags_table):
            if row.get("group_id") is None:
                workspace = self._workspace_of("biz_tags", row)
                yield row, mapping.tag(row, workspace, self._places.group)
                continue
            group = self._group_rows.get(row["group_id"])
            if group is None:
                name = mapping.first_of(row, mapping.NAMES)
                raise BadSourceError(f"biz_tags {name}: group_id {row['group_id']} has no row in groups")
            yield row, mapping.tag(row, self._workspace_of("groups", group), group["name"])

    def _segments(self) -> Iterator[Record]:
        """By tag: one tag's segments may each reach into other data centres' spans."""
        marks: dict[object, list[tuple[int, int]]] = {}
        for row in self._rows("segments"):
            tag = mapping.required("segments", row, ("tag_id", "biz_tag_id", "biz_tag", "tag"))
            following = mapping.next_id("segments", row)
            if following is None:
                raise BadSourceError(
                    f"segments of tag {tag}: none of the columns next_id, max_id, current_id"
                )
            datacenter = int(mapping.first_of(row, mapping.DATACENTER, 0))
            marks.setdefault(tag, []).append((datacenter, following))
        for row, record in self._tags():
            name, own = record.content["name"], mapping.next_id(self._tags_table, row)
            mine = marks.pop(row.get("id"), []) + marks.pop(name, []) + ([(0, own)] if own else [])
            yield from mapping.placed(record.content["workspace"], name, mine)
        if marks:
            raise BadSourceError(f"segments: no such tag: {', '.join(sorted(map(str, marks))[:5])}")

    def _of_workspace(self, table: str, made: Callable[[Row, str], Record]) -> Iterator[Record]:
        for row in self._rows(table):
            yield made(row, self._workspace_of(table, row))

    def _audit_events(self) -> Iterator[Record]:
        seen: Counter[bytes] = Counter()
        for row in self._rows("audit_events"):
            known = self._workspace_names.get(row.get("workspace_id"))  # it outlives its workspace
            record = mapping.audit_event(row, known)
            yield replace(record, nth=seen[record.digest])
            seen[record.digest] += 1

    def _workspace_of(self, table: str, row: Row) -> str:
        if row.get("workspace_id") is None:
            return self._places.workspace
        try:
            return str(self._workspace_names[row["workspace_id"]])
        except KeyError:
            raise BadSourceError(
                f"{table}: workspace_id {row['workspace_id']} has no row in workspaces"
            ) from None
