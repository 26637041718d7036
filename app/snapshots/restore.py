"""Goes back to a snapshot: everything in one transaction, nothing where anything is refused."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine, insert, select, update

from app.administration.names import Record, tell
from app.administration.tags import Changed, Known, check_usable, insert_tag, retired_tags, update_tag
from app.auth.principal import Principal
from app.repeats import could_repeat
from app.server import problems
from app.server.problems import ProblemError
from app.snapshots import store
from app.snapshots.content import Change, Content, TagContent, differences
from app.storage.models import Group
from app.tag_config import TagConfig

MOST_TOLD = 10


class Restore(BaseModel):
    """How to go back. Tags and groups that the snapshot lacks are never removed."""

    model_config = ConfigDict(extra="forbid")

    extra_tags: Literal["keep", "disable"] = Field("keep", description="what becomes of tags it lacks")
    dry_run: bool = Field(False, description="check everything and say what would change")


class Restored(BaseModel):
    """What was changed, or would be on a dry run."""

    changes: list[Change]
    dry_run: bool


def restore(
    engine: Engine,
    principal: Principal,
    name: str,
    how: Restore,
    record: Record,
    *,
    changed: Changed,
    known: Known,
) -> Restored:
    """Make groups and tags what they were. Raises `repeats-ids` where that could repeat IDs."""
    target = f"snapshot/{name}"
    with engine.begin() as connection:
        snapshot = store.find(connection, principal, name)
        # Holds the workspace's row: nobody makes or removes tags meanwhile.
        retired = retired_tags(connection, principal.workspace_id)
        now = store.current(connection, principal.workspace_id, lock=True)
        aim = _aim(now, store.content_of(snapshot), how)
        refused, slug = _refusals(now, aim, retired, known)
        if refused:
            tell(record, principal, "snapshot.restored", target, "refused", because=refused[:MOST_TOLD])
            more = f"; and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
            raise problems.of(slug, "; ".join(refused[:MOST_TOLD]) + more)
        changes = [change for change in differences(now, aim) if change.change != "extra"]
        if not how.dry_run:
            _apply(connection, principal.workspace_id, aim, changes)
    if not how.dry_run:
        for change in changes:
            if change.kind == "tag":
                for group in {place["group"] for place in (change.old, change.new) if place}:
                    changed(principal.workspace, group, change.name)
            tell(
                record, principal, f"{change.kind}.restored", f"{change.kind}/{change.name}",
                old=change.old, new=change.new, snapshot=name,
            )  # fmt: skip
        tell(record, principal, "snapshot.restored", target, changes=len(changes), **how.model_dump())
    return Restored(changes=changes, dry_run=how.dry_run)


def _aim(now: Content, snapshot: Content, how: Restore) -> Content:
    """What the snapshot holds, and what of now stays."""
    extra = {name: tag for name, tag in now.tags.items() if name not in snapshot.tags}
    if how.extra_tags == "disable":
        extra = {
            name: TagContent(group=tag.group, config=tag.config.model_copy(update={"enabled": False}))
            for name, tag in extra.items()
        }
    return Content.model_construct(groups={**now.groups, **snapshot.groups}, tags={**snapshot.tags, **extra})


def _refusals(now: Content, aim: Content, retired: Mapping[str, Any], known: Known) -> tuple[list[str], str]:
    """Why the aim can't be reached, and the kind of problem that is."""
    lines, slug = [], "not-restorable"
    for name, tag in sorted(aim.tags.items()):
        before = now.tags.get(name)
        if before == tag:
            continue
        if tag.group not in aim.groups:
            lines.append(f"tag {name}: its group {tag.group!r} is not in the snapshot")
        try:
            check_usable(tag.config, known)
        except ProblemError as problem:
            lines.append(f"tag {name}: {problem.detail}")
        old = before.config if before else TagConfig(**retired[name]) if name in retired else None
        if old is not None and (why := could_repeat(old, tag.config)):
            lines.append(f"tag {name}: {why}")
            slug = "repeats-ids"
    return lines, slug


def _apply(connection: Connection, workspace_id: int, aim: Content, changes: list[Change]) -> None:
    for change in changes:
        if change.kind == "group":
            settings = aim.groups[change.name].settings
            if change.change == "added":
                values = {"workspace_id": workspace_id, "name": change.name, "settings": settings}
                connection.execute(insert(Group).values(**values))
            else:
                mine = (Group.workspace_id == workspace_id, Group.name == change.name)
                connection.execute(update(Group).where(*mine).values(settings=settings))
    ids = select(Group.name, Group.id).where(Group.workspace_id == workspace_id)
    groups = {row.name: row.id for row in connection.execute(ids)}
    for change in changes:
        if change.kind == "tag":
            tag = aim.tags[change.name]
            group = groups[tag.group]
            if change.change == "added":
                insert_tag(connection, workspace_id, group, change.name, tag.config)
            else:
                update_tag(connection, workspace_id, change.name, tag.config, group)
