"""Asking the service from outside, through one edge, on a new connection each time."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from release.targets.model import Probes

AT_ONCE = 4
NOBODY = (502, 503, 504)


@dataclass(frozen=True)
class Entrance:
    """One edge as it is reached from the controller. `certificate_name` is what its certificate must say."""

    name: str
    url: str
    certificate_name: str
    ca_file: Path


@dataclass(frozen=True)
class Reply:
    """One answer. Status 0: no answer, and `detail` says why."""

    status: int
    version: str = ""
    slot: str = ""
    detail: str = ""


class _NamedConnection(http.client.HTTPSConnection):
    """Connects to one address and checks the certificate for another name."""

    def __init__(self, host: str, port: int, name: str, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._name = name
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def ask(entrance: Entrance, method: str, path: str, timeout_s: float = 5.0) -> Reply:
    """One request on a new connection. Never raises for what the network or the service does."""
    where = urlsplit(entrance.url)
    context = ssl.create_default_context(cafile=str(entrance.ca_file))
    connection = _NamedConnection(
        where.hostname or "127.0.0.1", where.port or 443, entrance.certificate_name, context, timeout_s
    )
    headers = {"Host": entrance.certificate_name, "Connection": "close", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, detail=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return Reply(
        answer.status, answer.getheader("X-Plumbline-Version", ""), answer.getheader("X-Plumbline-Slot", "")
    )


def probe(entrance: Entrance, method: str, path: str, count: int, *, per_second: float) -> Probes:
    """`count` requests, at most per_second of them a second, so that the edge's own limit isn't met.

    A 429 is asked again after a second, a few times: it is the edge's answer, not a release's.
    """

    def one(_: int) -> Reply:
        started = time.monotonic()
        reply = ask(entrance, method, path)
        for _again in range(3):
            if reply.status != 429:
                break
            time.sleep(1.0)
            reply = ask(entrance, method, path)
        time.sleep(max(0.0, AT_ONCE / per_second - (time.monotonic() - started)))
        return reply

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return tally(list(pool.map(one, range(count))))


def tally(replies: list[Reply]) -> Probes:
    """Count who answered. Without a version header it wasn't a release: nobody there, or a failure."""
    seen: Counter[tuple[str, str]] = Counter()
    failed: list[str] = []
    nobody = 0
    for reply in replies:
        if reply.version:
            seen[(reply.version, reply.slot)] += 1
        elif reply.status in NOBODY:
            nobody += 1
        else:
            failed.append(reply.detail or f"status {reply.status} without X-Plumbline-Version")
    return Probes(seen, tuple(failed), nobody)
