"""A random password that is made once and lives only in Pulumi's state, encrypted."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import pulumi
from pulumi import dynamic

_LENGTHS = range(16, 129)


class PasswordProvider(dynamic.ResourceProvider):
    """Makes the password at create; a new length makes a new one, nothing else does."""

    def check(self, _olds: Any, news: Any) -> dynamic.CheckResult:
        """Refuse a length that is too short to be safe."""
        length = news.get("length")
        failures = []
        if not isinstance(length, (int, float)) or int(length) not in _LENGTHS:
            reason = f"length is {length!r}; allowed: {_LENGTHS.start} to {_LENGTHS.stop - 1}"
            failures.append(dynamic.CheckFailure("length", reason))
        return dynamic.CheckResult(news, failures)

    def diff(self, _id: str, olds: Any, news: Any) -> dynamic.DiffResult:
        """Compare lengths."""
        changed = int(olds.get("length", 0)) != int(news["length"])
        return dynamic.DiffResult(changes=changed, replaces=["length"] if changed else [])

    def create(self, props: Any) -> dynamic.CreateResult:
        """Letters, digits, - and _ only: safe in URLs, files and SQL."""
        length = int(props["length"])
        value = secrets.token_urlsafe(length)[:length]
        return dynamic.CreateResult(f"password-{uuid.uuid4().hex}", {"length": length, "result": value})

    def read(self, id_: str, props: Any) -> dynamic.ReadResult:
        """The state is the only place that knows it."""
        return dynamic.ReadResult(id_, props)

    def update(self, _id: str, olds: Any, news: Any) -> dynamic.UpdateResult:
        """Keep the value."""
        return dynamic.UpdateResult({**olds, "length": int(news["length"])})

    def delete(self, _id: str, _props: Any) -> None:
        """The state forgets it."""


class Password(dynamic.Resource):
    """A password of `length` characters in `result`, a Pulumi secret."""

    result: pulumi.Output[str]

    def __init__(self, name: str, length: int = 32, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["result"])
        super().__init__(
            PasswordProvider(),
            name,
            {"length": length, "result": None},
            pulumi.ResourceOptions.merge(opts, secret),
        )
