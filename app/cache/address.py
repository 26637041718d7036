"""Where Redis is, in one URL for its three modes. Pure.

    redis://[USER:PASSWORD@]HOST[:6379][/DB]
    redis+sentinel://[USER:PASSWORD@]HOST[:26379],HOST[:26379]/MASTER[/DB][?sentinel_password=...]
    redis+cluster://[USER:PASSWORD@]HOST[:6379],HOST[:6379]

`rediss` in place of `redis` means TLS, with `?ca=/path/to/ca.pem` when the system doesn't know the authority.
User, password and the values after `?` are percent-encoded; `:PASSWORD@` alone is the default user.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

Mode = Literal["standalone", "sentinel", "cluster"]

_SCHEMES: dict[str, tuple[Mode, bool]] = {
    "redis": ("standalone", False),
    "rediss": ("standalone", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_NODE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_MASTER = re.compile(r"[A-Za-z0-9._-]+")
_LAST_DATABASE = 15


class BadRedisUrlError(ValueError):
    """The URL can't be used. The message never holds a password."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. `nodes`: Redis servers, or the Sentinels. `repr` and `str` hold no password."""

    mode: Mode
    nodes: tuple[tuple[str, int], ...]
    master: str = ""
    database: int = 0
    tls: bool = False
    ca: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        nodes = ",".join(f"{host}:{port}" for host, port in self.nodes)
        return f"{self.mode} {nodes}" + (f" ({self.master})" if self.master else "")


def parse(url: str) -> Address:
    """The address that a URL means. Raises BadRedisUrlError, which says what is wrong and what is allowed."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in _SCHEMES:
        shown = repr(scheme) if mark else "no scheme"
        raise BadRedisUrlError(f"{shown} is not allowed; allowed: {', '.join(f'{s}://' for s in _SCHEMES)}")
    mode, tls = _SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if "@" in path + query:
        raise BadRedisUrlError(
            "'@', '/', '?' and '#' in a password are not allowed; allowed: percent-encoded"
        )
    nodes = _nodes(hosts, mode)
    options = _options(query, mode, tls)
    username, password = _credentials(userinfo) if at else (None, None)
    master, database = _path(path, mode)
    return Address(
        mode=mode,
        nodes=nodes,
        master=master,
        database=database,
        tls=tls,
        ca=options.get("ca"),
        username=username,
        password=password,
        sentinel_password=options.get("sentinel_password"),
    )


def _nodes(hosts: str, mode: Mode) -> tuple[tuple[str, int], ...]:
    nodes = []
    for index, text in enumerate(hosts.split(","), start=1):
        match = _NODE.fullmatch(text)
        # The text itself isn't shown: with a badly encoded password a part of it could stand here.
        if match is None:
            raise BadRedisUrlError(f"host {index} is not allowed; allowed: HOST or HOST:PORT, after any '@'")
        port = int(match["port"] or (26379 if mode == "sentinel" else 6379))
        if not 1 <= port <= 65535:
            raise BadRedisUrlError(f"port {port} of host {index} is not allowed; allowed: 1 to 65535")
        nodes.append((match["host"].strip("[]"), port))
    if mode == "standalone" and len(nodes) > 1:
        raise BadRedisUrlError(
            f"{len(nodes)} hosts are not allowed with redis://; allowed: one, or redis+sentinel:// or redis+cluster://"
        )
    return tuple(nodes)


def _credentials(userinfo: str) -> tuple[str | None, str | None]:
    user, colon, password = userinfo.partition(":")
    if not colon or not password:
        raise BadRedisUrlError("a user alone is not allowed; allowed: USER:PASSWORD@ or :PASSWORD@")
    return unquote(user) or None, unquote(password)


def _path(path: str, mode: Mode) -> tuple[str, int]:
    parts = path.split("/") if path else []
    master = ""
    if mode == "sentinel":
        master = parts.pop(0) if parts else ""
        if not _MASTER.fullmatch(master):
            raise BadRedisUrlError(
                f"master name {master!r} is not allowed; allowed: letters, digits, '.', '_' and '-'"
            )
    if len(parts) > 1 or any(not part.isdecimal() for part in parts):
        raise BadRedisUrlError(f"path {path!r} is not allowed; allowed: one database number")
    database = int(parts[0]) if parts else 0
    last = 0 if mode == "cluster" else _LAST_DATABASE
    if database > last:
        raise BadRedisUrlError(f"database {database} is not allowed; allowed: 0 to {last} with {mode}")
    return master, database


def _options(query: str, mode: Mode, tls: bool) -> dict[str, str]:
    allowed = (["ca"] if tls else []) + (["sentinel_password"] if mode == "sentinel" else [])
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in allowed or not value:
            raise BadRedisUrlError(
                f"option {name!r} is not allowed here or empty; allowed: {', '.join(allowed) or 'none'}"
            )
    return options
