"""Who may come in: the key, what it allows, and how often. The same for HTTP and gRPC."""

from collections.abc import Callable, Mapping
from typing import Any

from app.auth.principal import AuthError, KeysUnavailableError, Principal
from app.server import problems

_TOLD = {
    "key-missing": "Authorization: missing; allowed: Bearer plk_...",
    "key-unknown": "Authorization: the key is not known",
    "key-revoked": "Authorization: the key is revoked",
    "key-expired": "Authorization: the key is expired",
}


class Admission:
    """authenticate: a token to its principal; raises AuthError or KeysUnavailableError. take: a key's id to
    the seconds that it must wait (0 = go on). everyone: who all callers are where keys are switched off.
    """

    def __init__(
        self,
        authenticate: Callable[[str], Principal],
        take: Callable[[int], float] = lambda key_id: 0.0,
        everyone: Principal | None = None,
    ) -> None:
        self._authenticate, self._take, self._everyone = authenticate, take, everyone

    def admit(self, token: str | None, scope: str) -> Principal:
        """The principal. Raises the problem key-missing, key-unknown, key-revoked, key-expired, scope-missing
        or rate-limited."""
        principal = self._everyone
        if principal is None:
            if token is None:
                raise problems.of("key-missing", _TOLD["key-missing"])
            try:
                principal = self._authenticate(token)
            except AuthError as error:
                raise problems.of(error.slug, _TOLD[error.slug]) from None
            except KeysUnavailableError as error:
                raise problems.unavailable("keys-unavailable", str(error), error.retry_after_s) from error
        if scope not in principal.scopes:
            raise problems.of("scope-missing", f"scope: the key lacks {scope!r}")
        if wait_s := self._take(principal.key_id):
            raise problems.rate_limited(wait_s)
        return principal


def bearer(environ: Mapping[str, Any]) -> str | None:
    """The token of a WSGI request's Authorization header; None without one, or with another scheme."""
    given = environ.get("HTTP_AUTHORIZATION")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
