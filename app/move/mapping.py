"""How the columns of an existing service become ours. Pure.

| ours | theirs, the first that is there |
|---|---|
| workspaces.name, settings | name; settings, config; no table: one workspace `--workspace` |
| groups.workspace, name, settings | workspace_id; name; settings, config; no table: one group `--group` |
| biz_tags.name | name, biz_tag, tag, tag_name |
| biz_tags.algorithm, format | algorithm, mode, type (segment); format (any) |
| biz_tags.step, config | step (10000); config |
| biz_tags.group | group_id, else `--workspace`/`--group` |
| segments.tag | tag_id, biz_tag_id, biz_tag or tag: an id or a name |
| segments.datacenter | datacenter, datacenter_id, dc_id, dc (0) |
| segments.next_id | next_id, or max_id + 1, current_id + 1; no table: biz_tags.max_id + 1 |
| api_keys.sha256 | sha256, key_sha256, key_hash (octets or 64 hex digits) |
| api_keys.scopes | scopes as an array, a JSON array, or separated by commas |
| api_keys.created_at, expires_at, revoked_at | the same; without a time zone UTC; untold 1970 |
| snapshots, audit_events | the same names |

Leaf's single table leaf_alloc: biz_tag, step, max_id as above; description and update_time are not moved.
Where a segment's old values lie in another data centre's new span, that span is moved past them too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from app.migrate.schema import SEEDED_TAGS
from app.move.records import Record
from app.storage.models import DATACENTERS, SCOPES, owner, span
from app.storage.tags import columns_of, config_of
from app.tag_config import TagConfig

Row = Mapping[str, Any]
NAMES = ("name", "biz_tag", "tag", "tag_name")
DATACENTER = ("datacenter", "datacenter_id", "dc_id", "dc")
OLD_SPAN = 1 << 60  # of revision 0001
END = span(DATACENTERS - 1).stop
UNTOLD = "1970-01-01T00:00:00+00:00"
SEEDS = {(tag["name"], tag["algorithm"]) for tag in SEEDED_TAGS}


class BadSourceError(ValueError):
    """A row that can't be moved; the message names table, row and what is allowed. Nothing was written."""


def first_of(row: Row, names: Sequence[str], default: Any = None) -> Any:
    """The value of the first of these columns that is there and not null."""
    return next((row[name] for name in names if row.get(name) is not None), default)


def required(table: str, row: Row, names: Sequence[str]) -> Any:
    """As first_of; BadSourceError when there is none."""
    value = first_of(row, names)
    if value is None:
        raise BadSourceError(
            f"{table}: a row has none of the columns {', '.join(names)}; it has {', '.join(row)}"
        )
    return value


def workspace(row: Row) -> Record:
    """From a row of workspaces."""
    settings = _json(first_of(row, ("settings", "config"), {}))
    name = required("workspaces", row, ("name",))
    return Record("workspaces", {"name": name, "settings": settings}, blank=not settings)


def group(row: Row, workspace_name: str) -> Record:
    """From a row of groups."""
    settings = _json(first_of(row, ("settings", "config"), {}))
    content = {"workspace": workspace_name, "name": required("groups", row, ("name",)), "settings": settings}
    return Record("groups", content, blank=not settings)


def tag(row: Row, workspace_name: str, group_name: str) -> Record:
    """From a row of biz_tags or leaf_alloc."""
    name = required("biz_tags", row, NAMES)
    try:
        config = config_of(
            first_of(row, ("algorithm", "mode", "type"), "segment"),
            first_of(row, ("format",), "any"),
            first_of(row, ("step",), 10_000),
            _json(first_of(row, ("config",), {})),
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BadSourceError(f"biz_tags {name}: {key}: {first['input']!r}: {first['msg']}") from None
    content = {"workspace": workspace_name, "group": group_name, "name": name, **columns_of(config)}
    as_seeded = (name, config.algorithm) in SEEDS and config == TagConfig.model_validate(
        {"algorithm": config.algorithm}
    )
    return Record("biz_tags", content, blank=as_seeded and row.get("version", 1) == 1)


def next_id(table: str, row: Row) -> int | None:
    """The first ID that was never handed out; None where the row doesn't say."""
    following = first_of(row, ("next_id",))
    highest = first_of(row, ("max_id", "current_id"))
    if following is None and highest is None:
        return None
    found = int(following) if following is not None else int(highest) + 1
    if not 1 <= found < 1 << 63:
        raise BadSourceError(
            f"{table} {first_of(row, NAMES, '')}: {found} is not allowed; allowed: 1 to 2**63 - 1"
        )
    return found


def placed(workspace_name: str, tag_name: str, marks: Iterable[tuple[int, int]]) -> list[Record]:
    """A tag's segments, each past every value that the old ones may have issued.

    marks: (data centre, first ID never handed out). A data centre that issued nothing has no segment.
    """
    reached: dict[int, int] = {}
    for datacenter, following in marks:
        if not 0 <= datacenter < DATACENTERS:
            raise BadSourceError(
                f"segments {tag_name}: datacenter {datacenter} is not allowed; allowed: 0 to 7"
            )
        low = _low(datacenter, following)
        if low == 1 and following >= END:
            raise BadSourceError(
                f"segments {tag_name}: {following} leaves no room; allowed: below {END} (segments end there)"
            )
        for other in {
            datacenter,
            *range(owner(low), min(owner(max(low, following - 1)), DATACENTERS - 1) + 1),
        }:
            owned = span(other)
            past = min(following, owned.stop) if low < owned.stop and following > owned.start else owned.start
            reached[other] = max(reached.get(other, owned.start), past)
    return [
        Record(
            "segments",
            {"workspace": workspace_name, "tag": tag_name, "datacenter": dc, "next_id": reached[dc]},
        )
        for dc in sorted(reached)
    ]


def _low(datacenter: int, following: int) -> int:
    """Where the old values of this data centre began."""
    owned = span(datacenter)
    if owned.start <= following <= owned.stop:
        return owned.start
    old = datacenter * OLD_SPAN + 1
    return old if old <= following <= old + OLD_SPAN else 1


def api_key(row: Row, workspace_name: str) -> Record:
    """From a row of api_keys."""
    name = required("api_keys", row, ("name",))
    digest = required("api_keys", row, ("sha256", "key_sha256", "key_hash"))
    sha256 = digest.lower() if isinstance(digest, str) else bytes(digest).hex()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise BadSourceError(
            f"api_keys {name}: its hash has {len(sha256) // 2} octets; allowed: a SHA-256, 32 octets"
        )
    scopes = sorted(_list(first_of(row, ("scopes",), ["issue"])), key=lambda one: (*SCOPES, one).index(one))
    if not scopes or set(scopes) - set(SCOPES):
        raise BadSourceError(
            f"api_keys {name}: scopes {scopes} are not allowed; allowed: {', '.join(SCOPES)}"
        )
    content = {
        "workspace": workspace_name, "name": name, "prefix": first_of(row, ("prefix",), ""), "sha256": sha256,
        "scopes": scopes, "created_at": moment(row.get("created_at") or UNTOLD),
        **{key: moment(row.get(key)) for key in ("expires_at", "revoked_at")},
    }  # fmt: skip
    return Record("api_keys", content)


def snapshot(row: Row, workspace_name: str) -> Record:
    """From a row of snapshots."""
    content = {
        "workspace": workspace_name, "name": required("snapshots", row, ("name",)),
        "content": _json(required("snapshots", row, ("content",))),
        "created_at": moment(row.get("created_at") or UNTOLD),
        "created_by": first_of(row, ("created_by",), ""),
    }  # fmt: skip
    return Record("snapshots", content)


def audit_event(row: Row, workspace_name: str | None) -> Record:
    """From a row of audit_events."""
    texts = ("actor", "action", "target", "result", "request_id", "trace_id")
    content = {
        "at": moment(required("audit_events", row, ("at", "created_at"))), "workspace": workspace_name,
        "detail": _json(first_of(row, ("detail",), {})), **{key: row.get(key) or "" for key in texts},
    }  # fmt: skip
    return Record("audit_events", content)


def moment(value: datetime | str | None) -> str | None:
    """A time as ISO 8601 in UTC with microseconds; one without a zone is UTC."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise BadSourceError(f"time {value!r} is not allowed; allowed: ISO 8601") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value or "{}")
    except json.JSONDecodeError:
        raise BadSourceError(f"{value[:40]!r} is not allowed; allowed: JSON") from None


def _list(value: Any) -> list[str]:
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return list(_json(value))
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value)
