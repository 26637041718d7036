"""API keys in the database."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine, func, select

from app.auth.principal import KeyRecord, Principal
from app.storage.models import ApiKey, Workspace


class KeyRows:
    """Reads keys; raises what the database raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_many(self, sha256s: Sequence[bytes]) -> dict[bytes, KeyRecord]:
        """Those that exist, revoked or not, by SHA-256 (32 octets)."""
        query = (
            select(
                ApiKey.sha256,
                ApiKey.id,
                ApiKey.name,
                ApiKey.scopes,
                ApiKey.expires_at,
                ApiKey.revoked_at,
                ApiKey.workspace_id,
                Workspace.name.label("workspace"),
            )
            .join(Workspace, Workspace.id == ApiKey.workspace_id)
            .where(ApiKey.sha256.in_(sha256s))
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {
            bytes(row.sha256): KeyRecord(
                Principal(row.id, row.workspace_id, row.workspace, frozenset(row.scopes), row.name),
                row.expires_at.timestamp() if row.expires_at else None,
                row.revoked_at is not None,
            )
            for row in rows
        }

    def revoked_within(self, seconds: float) -> list[bytes]:
        """SHA-256 of the keys that were revoked in that time, by the database's clock."""
        query = select(ApiKey.sha256).where(ApiKey.revoked_at > func.now() - timedelta(seconds=seconds))
        with self._engine.connect() as connection:
            return [bytes(sha256) for sha256 in connection.scalars(query)]
