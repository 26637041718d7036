"""API keys: made, listed, changed and revoked. The token itself is given once, when it is made."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.sql import func

from app.administration.names import DEFAULT, Name, Record, missing, tell, without_defaults
from app.administration.paging import PageQuery, after_id, page_of
from app.auth.keys import digest, shown
from app.auth.principal import Principal, Scope
from app.server import problems
from app.storage.models import ApiKey, Workspace

LONGEST_LIFE = timedelta(days=3_660)


def _distinct(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) != len(scopes):
        raise ValueError("each scope once")
    return sorted(scopes)


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=4), AfterValidator(_distinct)]


class KeyNew(BaseModel):
    """A key to make. `expires_at` in the future, ten years at most; null for never."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    scopes: Scopes
    expires_at: AwareDatetime | None = None
    workspace: Name | None = Field(
        None, description="another workspace than the caller's; for keys of the workspace `default`"
    )


class KeyPatch(BaseModel):
    """What to change of a key that is not revoked."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=without_defaults)

    name: Name = ""
    scopes: Scopes = []
    expires_at: AwareDatetime | None = None


class KeyView(BaseModel):
    """A key without its token. `prefix` is the token's beginning, to tell keys apart."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyMade(KeyView):
    """A new key with its token, which is shown this once."""

    token: str


class KeyPage(BaseModel):
    """`next` is null on the last page."""

    items: list[KeyView]
    next: str | None


def page(engine: Engine, principal: Principal, query: PageQuery) -> KeyPage:
    """The workspace's keys, revoked ones too, in the order in which they were made."""
    statement = (
        select(*_COLUMNS)
        .where(ApiKey.workspace_id == principal.workspace_id, ApiKey.id > after_id("keys", query))
        .order_by(ApiKey.id)
        .limit(query.limit + 1)
    )
    with engine.connect() as connection:
        rows, after = page_of("keys", connection.execute(statement).all(), query, "id")
    return KeyPage(items=[_view(row) for row in rows], next=after)


def get(engine: Engine, principal: Principal, key_id: int) -> KeyView:
    """One key."""
    with engine.connect() as connection:
        return _view(_find(connection, principal, key_id))


def make(
    engine: Engine, principal: Principal, new: KeyNew, record: Record, *, token: str, now: datetime
) -> KeyMade:
    """Keep the token's SHA-256. A key without `operate` can't make one with it."""
    _check(principal, new.scopes, new.expires_at, now)
    with engine.begin() as connection:
        workspace_id = _workspace(connection, principal, new.workspace)
        key = add(connection, workspace_id, new.name, new.scopes, expires_at=new.expires_at, token=token)
    detail = {"name": key.name, "scopes": key.scopes, "expires_at": _text(key.expires_at)}
    tell(record, principal, "key.created", f"key/{key.id}", new=detail, workspace=new.workspace)
    return KeyMade(**key.model_dump(), token=token)


def add(
    connection: Connection,
    workspace_id: int,
    name: str,
    scopes: Collection[str],
    *,
    expires_at: datetime | None,
    token: str,
) -> KeyView:
    """Insert a key's row."""
    values = {
        "workspace_id": workspace_id, "name": name, "prefix": shown(token), "sha256": digest(token),
        "scopes": sorted(scopes), "expires_at": expires_at,
    }  # fmt: skip
    return _view(connection.execute(insert(ApiKey).values(**values).returning(*_COLUMNS)).one())


def change(
    engine: Engine,
    principal: Principal,
    key_id: int,
    patch: KeyPatch,
    record: Record,
    *,
    changed: Callable[[bytes], None],
    now: datetime,
) -> KeyView:
    """Change name, scopes or expiry; `changed(sha256)` makes every process look the key up again."""
    values = patch.model_dump(include=patch.model_fields_set)
    _check(principal, values.get("scopes", []), values.get("expires_at"), now)
    with engine.begin() as connection:
        before = _find(connection, principal, key_id, lock=True)
        _check(principal, before.scopes, None, now)
        if before.revoked_at is not None:
            raise problems.of("not-changeable", f"key: {key_id} is revoked; make another")
        after = before
        if values:
            statement = update(ApiKey).where(ApiKey.id == key_id).values(**values).returning(*_COLUMNS)
            after = connection.execute(statement).one()
    if values:
        changed(bytes(before.sha256))
    old, new = ({key: _text(getattr(row, key)) for key in values} for row in (before, after))
    tell(record, principal, "key.changed", f"key/{key_id}", old=old, new=new)
    return _view(after)


def revoke(
    engine: Engine, principal: Principal, key_id: int, record: Record, revoked: Callable[[bytes], None]
) -> None:
    """End a key for good; `revoked(sha256)` tells every process. Revoking again changes nothing."""
    with engine.begin() as connection:
        row = _find(connection, principal, key_id, lock=True)
        if row.revoked_at is None:
            connection.execute(
                update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=func.clock_timestamp())
            )
    # Told again, too: the first time may have met a failure just after its commit.
    revoked(bytes(row.sha256))
    if row.revoked_at is None:
        tell(record, principal, "key.revoked", f"key/{key_id}", name=row.name)


_COLUMNS = (
    ApiKey.id, ApiKey.name, ApiKey.prefix, ApiKey.scopes, ApiKey.created_at, ApiKey.expires_at,
    ApiKey.revoked_at, ApiKey.sha256,
)  # fmt: skip


def _find(connection: Connection, principal: Principal, key_id: int, lock: bool = False) -> Any:
    if not 0 < key_id < 1 << 63:
        raise missing("key", key_id)
    statement = select(*_COLUMNS).where(ApiKey.workspace_id == principal.workspace_id, ApiKey.id == key_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise missing("key", key_id)
    return row


def _workspace(connection: Connection, principal: Principal, name: str | None) -> int:
    if name is None or name == principal.workspace:
        return principal.workspace_id
    found = None
    if principal.workspace == DEFAULT:
        statement = select(Workspace.id).where(Workspace.name == name).with_for_update(key_share=True)
        found = connection.execute(statement).scalar_one_or_none()
    if found is None:
        raise missing("workspace", name)
    return found


def _check(principal: Principal, scopes: Collection[str], expires_at: datetime | None, now: datetime) -> None:
    if "operate" in scopes and "operate" not in principal.scopes:
        raise problems.of("scope-missing", "scopes: only a key with 'operate' can give 'operate'")
    if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
        raise problems.bad_request("expires_at", expires_at.isoformat(), "in the future, ten years at most")


def _text(value: object) -> object:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _view(row: Any) -> KeyView:
    return KeyView(**{column.key: getattr(row, column.key) for column in _COLUMNS[:-1]})
