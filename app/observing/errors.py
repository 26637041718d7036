"""Mistakes of the service, sent to Sentry where a DSN is set, without headers, bodies or secrets."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

SHOWN = "[removed]"
_SECRETS = (
    re.compile(r"plk_[A-Za-z0-9_-]+"),  # API keys
    re.compile(r"(?<=://)[^/@\s]+(?=@)"),  # user and password of a URL
    re.compile(r"(?i)(?<=bearer )[^\s\"',]+"),
)
_HEADERS = {"authorization", "cookie", "set-cookie", "x-api-key", "proxy-authorization"}
FLUSH_S = 2.0

Report = Callable[[BaseException, Mapping[str, Any]], None]


class Errors:
    """A Sentry client of this process alone; nothing is patched, nothing global is changed."""

    def __init__(self, dsn: str, *, version: str, slot: str) -> None:
        self._client = sentry_sdk.Client(
            dsn=dsn,
            release=f"plumbline@{version}",
            environment=slot,
            default_integrations=False,
            auto_enabling_integrations=False,
            # Nothing personal is sent: that is the default, and setting it is deprecated.
            include_local_variables=False,
            max_request_body_size="never",
            # The reports' own session pings and traces are not wanted: there are metrics and tracing.
            auto_session_tracking=False,
            event_scrubber=EventScrubber(denylist=[*DEFAULT_DENYLIST, "dsn", "database_url"], recursive=True),
            before_send=scrub,
            shutdown_timeout=FLUSH_S,
        )

    def report(self, error: BaseException, facts: Mapping[str, Any]) -> None:
        """Queue one mistake; facts: of the log line. Never waits, never raises."""
        try:
            event, hint = sentry_sdk.utils.event_from_exception(error, client_options=self._client.options)
            event["level"] = "error"
            told = {key: str(value) for key, value in facts.items() if isinstance(value, str | int | float)}
            event["tags"] = {key: told.pop(key) for key in ("request_id", "trace_id") if key in told}
            event["extra"] = dict(told)
            self._client.capture_event(event, hint)
        except Exception:  # noqa: S110  # a mistake in telling of a mistake must not become the third
            pass

    def stop(self) -> None:
        """Send what is queued; takes FLUSH_S at most."""
        self._client.close(timeout=FLUSH_S)


def start(dsn: str | None, *, version: str, slot: str) -> Errors | None:
    """None without a DSN. Call it after any fork."""
    return Errors(dsn, version=version, slot=slot) if dsn else None


def scrub(event: Any, hint: Any) -> Any:
    """The event without secrets, wherever they stand: in headers by name, in texts by their form."""
    return _scrubbed(event)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        for secret in _SECRETS:
            value = secret.sub(SHOWN, value)
        return value
    if isinstance(value, Mapping):
        return {key: SHOWN if str(key).lower() in _HEADERS else _scrubbed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(one) for one in value]
    return value
