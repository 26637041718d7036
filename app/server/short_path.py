"""Reads the one request that makes up the load: POST /v1/ids/{tag} without a body, whole in one piece.

Anything else, or anything unusual about it, is not read here (None) and takes the long way: gunicorn's
parser, a thread, Flask. A kept-alive client sends the same octets again and again, so their meaning is kept.
"""

from dataclasses import dataclass
from urllib.parse import unquote

import httptools

MOST_OCTETS = 4_096
MOST_REMEMBERED = 1_024
_PREFIX = "/v1/ids/"
_KNOWN_HEADERS = {b"authorization", b"accept", b"x-request-id", b"traceparent"}
# Each of these asks for something that only the long way does.
_LONG_WAY = {b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"tracestate"}


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """A request for IDs as it was sent, `count` and `accept` unchecked. Absent headers are empty."""

    tag: str
    count: str
    authorization: str
    accept: str
    request_id: str
    traceparent: str


class ShortPath:
    """Not thread-safe: one for each event loop."""

    def __init__(self) -> None:
        self._remembered: dict[bytes, IssueRequest | None] = {}

    def read(self, data: bytes) -> IssueRequest | None:
        """The request that these octets are, or None when they must take the long way."""
        try:
            return self._remembered[data]
        except KeyError:
            pass
        request = parse(data)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        if len(data) <= MOST_OCTETS:
            self._remembered[data] = request
        return request


class _Seen:
    """What httptools reports."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun = self.completed = 0
        self.body = False

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body = True

    def on_message_complete(self) -> None:
        self.completed += 1


def parse(data: bytes) -> IssueRequest | None:
    """One whole request for IDs without a body on a connection to be kept, or None."""
    if not data.startswith(b"POST /v1/ids/") or not data.endswith(b"\r\n\r\n") or len(data) > MOST_OCTETS:
        return None
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    whole = (seen.begun, seen.completed, seen.body) == (1, 1, False)
    if not whole or parser.get_http_version() != "1.1":
        return None
    headers = dict(seen.headers)
    return _request(seen.url, headers) if _is_plain([name for name, _ in seen.headers], headers) else None


def _is_plain(names: list[bytes], headers: dict[bytes, bytes]) -> bool:
    """Whether the headers ask for nothing but an answer, and say nothing twice."""
    return (
        _LONG_WAY.isdisjoint(names)
        and names.count(b"host") == 1
        and all(names.count(name) <= 1 for name in _KNOWN_HEADERS)
        and headers.get(b"content-length", b"0") == b"0"
        and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    )


def _request(url: bytes, headers: dict[bytes, bytes]) -> IssueRequest | None:
    try:
        path, _, query = url.decode("ascii").partition("?")
        known = {name: headers.get(name, b"").decode("ascii") for name in _KNOWN_HEADERS}
    except UnicodeDecodeError:
        return None
    if "#" in query or "&" in query or "%" in query or (query and not query.startswith("count=")):
        return None
    tag = unquote(path.removeprefix(_PREFIX))
    if "/" in tag or not tag:
        return None
    return IssueRequest(
        tag=tag,
        count=query.removeprefix("count=") if query else "1",
        authorization=known[b"authorization"],
        accept=known[b"accept"],
        request_id=known[b"x-request-id"],
        traceparent=known[b"traceparent"],
    )
