"""Tags: made, changed under an optimistic lock, and removed while no segment of theirs was handed out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine, Row, Select, cast, delete, exists, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import func

from app.administration import names
from app.administration.names import DEFAULT, Name, Record, missing, named, tell, without_defaults
from app.administration.paging import PageQuery, after_id, page_of
from app.auth.principal import Principal
from app.ids.router import chain_for
from app.repeats import BUILT_IN, could_repeat
from app.server import problems
from app.storage.models import BizTag, Group, Segment, SegmentAllocation, SegmentTail, Workspace
from app.storage.tags import columns_of, config_of
from app.tag_config import TagConfig

RETIRED = "_retired_tags"
"""In a workspace's settings: of each removed tag what a tag made under its name again must agree with."""
MOST_RETIRED = 1_000

Changed = Callable[[str, str, str], None]
"""changed(workspace, group, tag): told after the commit, so that no process goes on with what was."""
Known = Callable[[str], bool]
"""Whether a plugin of this name can be used."""


class TagNew(TagConfig):
    """A tag to make: its place, and any of its configuration."""

    name: Name
    group: Name = DEFAULT

    def config(self) -> TagConfig:
        """The configuration alone."""
        return TagConfig.model_validate(self.model_dump(exclude={"name", "group"}))


class TagPatch(TagConfig):
    """What to change of a tag; what is left out stays as it is, whatever its default."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    group: Name = DEFAULT

    def given(self) -> dict[str, Any]:
        """Only what the caller gave."""
        return self.model_dump(include=self.model_fields_set)


class TagView(BaseModel):
    """A tag. `version` rises with each change and is its ETag. Configuration in etcd goes before `config`."""

    name: str
    group: str
    config: TagConfig
    version: int
    created_at: datetime
    updated_at: datetime


class TagQuery(PageQuery):
    """Which tags."""

    group: Name | None = Field(None, description="only this group's")


class TagPage(BaseModel):
    """`next` is null on the last page."""

    model_config = ConfigDict(extra="forbid")

    items: list[TagView]
    next: str | None


def page(engine: Engine, principal: Principal, query: TagQuery) -> TagPage:
    """The workspace's tags in the order in which they were made."""
    statement = _query(principal.workspace_id).where(BizTag.id > after_id("tags", query))
    if query.group is not None:
        statement = statement.where(Group.name == query.group)
    statement = statement.order_by(BizTag.id).limit(query.limit + 1)
    with engine.connect() as connection:
        rows, after = page_of("tags", connection.execute(statement).all(), query, "id")
    return TagPage(items=[view(row) for row in rows], next=after)


def get(engine: Engine, principal: Principal, name: str) -> TagView:
    """One tag."""
    with engine.connect() as connection:
        return view(_find(connection, principal, name))


def make(
    engine: Engine, principal: Principal, new: TagNew, record: Record, *, changed: Changed, known: Known
) -> TagView:
    """A new tag in an existing group."""
    config = new.config()
    check_usable(config, known)
    try:
        with engine.begin() as connection:
            retired = retired_tags(connection, principal.workspace_id)
            if new.name in retired and (why := could_repeat(TagConfig(**retired[new.name]), config)):
                raise problems.of("repeats-ids", f"a tag {new.name!r} existed before; {why}")
            insert_tag(
                connection,
                principal.workspace_id,
                group_id(connection, principal, new.group),
                new.name,
                config,
            )
            made = view(_find(connection, principal, new.name))
    except IntegrityError:
        raise names.exists("tag", new.name) from None
    changed(principal.workspace, new.group, new.name)
    tell(record, principal, "tag.created", f"tag/{new.name}", new=audited(made))
    return made


def change(
    engine: Engine,
    principal: Principal,
    name: str,
    patch: TagPatch,
    record: Record,
    *,
    matches: Callable[[int], bool],
    changed: Changed,
    known: Known,
) -> TagView:
    """Change configuration or group, if `matches(version)`. Refuses what could repeat IDs."""
    given = patch.given()
    group = given.pop("group", None)
    with engine.begin() as connection:
        before = view(_find(connection, principal, name, lock=True))
        _check_version(before, matches)
        config = TagConfig.model_validate({**before.config.model_dump(), **given})
        check_usable(config, known)
        if why := could_repeat(before.config, config):
            tell(record, principal, "tag.changed", f"tag/{name}", "refused", because=why)
            raise problems.of("repeats-ids", why)
        if config == before.config and group in (None, before.group):
            return before
        place = group_id(connection, principal, group) if group else None
        update_tag(connection, principal.workspace_id, name, config, place)
        after = view(_find(connection, principal, name))
    for place_name in {before.group, after.group}:
        changed(principal.workspace, place_name, name)
    tell(record, principal, "tag.changed", f"tag/{name}", old=audited(before), new=audited(after))
    return after


def remove(
    engine: Engine,
    principal: Principal,
    name: str,
    record: Record,
    *,
    matches: Callable[[int], bool],
    changed: Changed,
) -> None:
    """Remove a tag of which no segment was handed out; made again it would begin anew and repeat IDs."""
    with engine.begin() as connection:
        retired = retired_tags(connection, principal.workspace_id)
        row = _find(connection, principal, name, lock=True)
        before = view(row)
        _check_version(before, matches)
        if _has_segments(connection, row.id):
            raise problems.of("tag-used", f"tag: {name!r} has handed out segments; disable it instead")
        if name not in retired and len(retired) >= MOST_RETIRED:
            raise problems.of(
                "tag-used", f"tag: {MOST_RETIRED} tags were removed already; disable it instead"
            )
        kept = {"algorithm": before.config.algorithm, "sequence_bits": before.config.sequence_bits}
        _retire(connection, principal.workspace_id, {**retired, name: kept})
        try:
            connection.execute(delete(BizTag).where(BizTag.id == row.id))
        except IntegrityError:  # a segment was handed out just now
            raise problems.of("tag-used", f"tag: {name!r} is in use; disable it instead") from None
    changed(principal.workspace, before.group, name)
    tell(record, principal, "tag.removed", f"tag/{name}", old=audited(before))


def check_usable(config: TagConfig, known: Known) -> None:
    """Raises the problem of an algorithm that is unknown, or that the format has no room for."""
    if config.algorithm not in BUILT_IN and not known(config.algorithm):
        allowed = f"{', '.join(BUILT_IN)}, or an active plugin"
        raise problems.bad_request("algorithm", config.algorithm, allowed)
    try:
        chain_for(config.algorithm, config.format)
    except ValueError as error:
        raise problems.of("bad-request", str(error)) from None


def audited(tag: TagView) -> dict[str, object]:
    """What an audit event says of a tag."""
    return {"group": tag.group, "version": tag.version, **tag.config.model_dump(mode="json")}


def rows_of(connection: Connection, workspace_id: int, lock: bool = False) -> Sequence[Row[Any]]:
    """All tags of a workspace by name, held until the transaction's end if `lock`."""
    statement = _query(workspace_id).order_by(BizTag.name)
    return connection.execute(statement.with_for_update(of=BizTag) if lock else statement).all()


def retired_tags(connection: Connection, workspace_id: int) -> dict[str, Mapping[str, Any]]:
    """The removed tags by name. Holds the workspace's row: tags are made and removed one at a time."""
    statement = select(Workspace.settings).where(Workspace.id == workspace_id).with_for_update()
    return dict(connection.execute(statement).scalar_one().get(RETIRED, {}))


def group_id(connection: Connection, principal: Principal, name: str) -> int:
    """The group's id, held against its removal. Raises the problem of a group that does not exist."""
    statement = (
        select(Group.id)
        .where(Group.workspace_id == principal.workspace_id, Group.name == name)
        .with_for_update(read=True, key_share=True)
    )
    found = connection.execute(statement).scalar_one_or_none()
    if found is None:
        raise problems.bad_request("group", name, "the name of a group of this workspace")
    return found


def insert_tag(connection: Connection, workspace_id: int, group: int, name: str, config: TagConfig) -> None:
    """Add a row. Raises IntegrityError for a name that is taken."""
    values = {"workspace_id": workspace_id, "group_id": group, "name": name, **columns_of(config)}
    connection.execute(insert(BizTag).values(**values))


def update_tag(
    connection: Connection, workspace_id: int, name: str, config: TagConfig, group: int | None = None
) -> None:
    """Replace a tag's configuration, and its group if one is given; its version rises by one."""
    values = {**columns_of(config), "version": BizTag.version + 1, "updated_at": func.clock_timestamp()}
    if group is not None:
        values["group_id"] = group
    connection.execute(
        update(BizTag).where(BizTag.workspace_id == workspace_id, BizTag.name == name).values(**values)
    )


def view(row: Row[Any]) -> TagView:
    """A row of `rows_of` as the API shows it."""
    return TagView(
        name=row.name, group=row.group, version=row.version, created_at=row.created_at,
        updated_at=row.updated_at,
        config=config_of(row.algorithm, row.format, row.step, row.config),
    )  # fmt: skip


def _query(workspace_id: int) -> Select[Any]:
    return (
        select(
            BizTag.id, BizTag.name, Group.name.label("group"), BizTag.algorithm, BizTag.format, BizTag.step,
            BizTag.config, BizTag.version, BizTag.created_at, BizTag.updated_at,
        )
        .join(Group, Group.id == BizTag.group_id)
        .where(BizTag.workspace_id == workspace_id)
    )  # fmt: skip


def _find(connection: Connection, principal: Principal, name: str, lock: bool = False) -> Row[Any]:
    statement = _query(principal.workspace_id).where(BizTag.name == named("tag", name))
    row = connection.execute(statement.with_for_update(of=BizTag) if lock else statement).one_or_none()
    if row is None:
        raise missing("tag", name)
    return row


def _retire(connection: Connection, workspace_id: int, retired: Mapping[str, Any]) -> None:
    ours = cast({RETIRED: retired}, JSONB)
    connection.execute(
        update(Workspace)
        .where(Workspace.id == workspace_id)
        .values(settings=Workspace.settings.op("||")(ours))
    )


def _check_version(tag: TagView, matches: Callable[[int], bool]) -> None:
    if not matches(tag.version):
        raise problems.of(
            "precondition-failed", f"If-Match: does not match; the tag's version is now {tag.version}"
        )


def _has_segments(connection: Connection, tag_id: int) -> bool:
    used = [exists().where(model.tag_id == tag_id) for model in (Segment, SegmentTail, SegmentAllocation)]
    return any(connection.execute(select(*used)).one())
