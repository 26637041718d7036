"""Who calls, and what may be said when nobody may."""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["issue", "read", "admin", "operate"]
Slug = Literal["key-missing", "key-unknown", "key-revoked", "key-expired"]


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request, known by an API key."""

    key_id: int
    workspace_id: int
    workspace: str
    scopes: frozenset[str]
    name: str


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key, without the key. expires_at: Unix seconds, None for never."""

    principal: Principal
    expires_at: float | None = None
    revoked: bool = False


class AuthError(Exception):
    """The caller isn't let in; `slug` is the kind of problem (401)."""

    def __init__(self, slug: Slug) -> None:
        super().__init__(slug)
        self.slug = slug


class KeysUnavailableError(Exception):
    """Whether the key is good can't be found out now (503): it says nothing about the key."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
