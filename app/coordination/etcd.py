"""The connection to etcd over its JSON gateway: several endpoints, short timeouts, one error.

An endpoint that doesn't answer is left for the next, which is then asked first. A call takes at most
`timeout_s` at each endpoint. Never call it on a request's path. Make it after the fork; threads may share it.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from etcd3gw import exceptions
from etcd3gw.client import Etcd3Client

from app.coordination.store import (
    Change,
    Delete,
    Entry,
    EtcdAwayError,
    LeaseGoneError,
    Put,
    WatchBrokenError,
)

TIMEOUT_S = 1.5
API = "/v3/"  # of etcd 3.4 and later
T = TypeVar("T")


def endpoints(urls: str) -> list[tuple[str, str, int]]:
    """(scheme, host, port) of `http://a:2379,http://b:2379`. Raises ValueError that names the bad one."""
    found = []
    for url in urls.split(","):
        parts = urlsplit(url.strip())
        try:
            port = parts.port or 2379
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path.strip("/"):
            raise ValueError(f"etcd endpoint: {url!r} is not allowed; allowed: http://HOST:PORT or https://")
        found.append((parts.scheme, parts.hostname, port))
    return found


class Etcd:
    """A `Store` on etcd 3.4 or later."""

    def __init__(self, urls: str, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._clients = [_client(*endpoint, timeout_s) for endpoint in endpoints(urls)]
        self._first = 0

    def get(self, key: str) -> Entry | None:
        answer = self._ask("kv/range", {"key": _encode(key)})
        kvs = answer.get("kvs", [])
        return _entry(kvs[0]) if kvs else None

    def list(self, prefix: str) -> tuple[list[Entry], int]:
        answer = self._ask("kv/range", _below(prefix))
        return [_entry(kv) for kv in answer.get("kvs", [])], int(answer["header"]["revision"])

    def transact(self, when: Mapping[str, int], then: Sequence[Put | Delete]) -> int | None:
        compare = [
            {"key": _encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
            for key, revision in when.items()
        ]
        answer = self._ask("kv/txn", {"compare": compare, "success": [_request(one) for one in then]})
        return int(answer["header"]["revision"]) if answer.get("succeeded") else None

    def grant(self, ttl_s: int) -> tuple[int, int]:
        answer = self._ask("lease/grant", {"TTL": str(ttl_s), "ID": "0"})
        return int(answer["ID"]), int(answer["TTL"])

    def keep_alive(self, lease: int) -> int:
        return int(self._ask("lease/keepalive", {"ID": str(lease)}).get("result", {}).get("TTL", 0))

    def revoke(self, lease: int) -> None:
        with suppress(LeaseGoneError):
            self._ask("lease/revoke", {"ID": str(lease)})

    def watch(self, prefix: str, after_revision: int, idle_s: float) -> Iterator[Change]:
        def begin(client: Etcd3Client) -> requests.Response:
            return client.session.post(
                client.get_url("/watch"),
                json={"create_request": _below(prefix) | {"start_revision": str(after_revision + 1)}},
                stream=True,
                timeout=(self._timeout_s, idle_s),
            )

        with self._try_each(begin) as response:
            try:
                for line in response.iter_lines(chunk_size=None):
                    yield from _changes(line)
            except requests.exceptions.ConnectionError as error:
                # The library gives a read that took longer than idle_s this type too.
                if "timed out" in str(error).lower():
                    return
                raise WatchBrokenError(f"the watch of {prefix} was cut: {error}") from None
            except requests.exceptions.RequestException as error:
                raise WatchBrokenError(f"the watch of {prefix} was cut: {error}") from None
        raise WatchBrokenError(f"the watch of {prefix} ended")

    def close(self) -> None:
        """Close idle connections."""
        for client in self._clients:
            client.session.close()

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        def post(client: Etcd3Client) -> dict[str, Any]:
            answer: dict[str, Any] = client.post(client.get_url(path), json=body)
            return answer

        return self._try_each(post)

    def _try_each(self, call: Callable[[Etcd3Client], T]) -> T:
        """The first answer, beginning with the endpoint that answered last."""
        problems = []
        first = self._first
        for step in range(len(self._clients)):
            index = (first + step) % len(self._clients)
            client = self._clients[index]
            try:
                answer = call(client)
            except (exceptions.Etcd3Exception, requests.exceptions.RequestException) as error:
                detail = getattr(error, "detail_text", None) or str(error) or type(error).__name__
                if "lease not found" in detail:
                    raise LeaseGoneError("the lease has expired or was revoked") from None
                problems.append(f"{client.base_url}: {detail}")
                continue
            self._first = index
            return answer
        raise EtcdAwayError(f"etcd gives no answer within {self._timeout_s} s: {'; '.join(problems)}")


def _client(scheme: str, host: str, port: int, timeout_s: float) -> Etcd3Client:
    session = requests.Session()
    session.trust_env = False  # a proxy for the outside world must not stand between us and etcd
    return Etcd3Client(
        host=host, port=port, protocol=scheme, timeout=timeout_s, api_path=API, session=session
    )


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _below(prefix: str) -> dict[str, str]:
    """The range of all keys with a prefix: up to the prefix with its last octet one higher."""
    octets = prefix.encode()
    end = octets[:-1] + bytes([octets[-1] + 1])
    return {"key": _encode(prefix), "range_end": base64.b64encode(end).decode()}


def _entry(kv: Mapping[str, str]) -> Entry:
    value = _decode(kv.get("value", ""))
    return Entry(_decode(kv["key"]), value, int(kv["mod_revision"]), int(kv.get("lease", 0)))


def _request(one: Put | Delete) -> dict[str, Any]:
    if isinstance(one, Delete):
        return {"request_delete_range": {"key": _encode(one.key)}}
    put = {"key": _encode(one.key), "value": _encode(one.value), "lease": str(one.lease)}
    return {"request_put": put}


def _changes(line: bytes) -> Iterator[Change]:
    """The changes in one line of a watch's answer. Raises WatchBrokenError if the watch was ended."""
    if not line.strip():
        return
    try:
        answer = json.loads(line)
    except ValueError:
        raise WatchBrokenError("the watch's answer was cut") from None
    result = answer.get("result", {})
    if "error" in answer or result.get("canceled"):
        raise WatchBrokenError(f"etcd ended the watch: {answer.get('error') or result}")
    for event in result.get("events", []):
        kv = event["kv"]
        value = None if event.get("type") == "DELETE" else _decode(kv.get("value", ""))
        yield Change(_decode(kv["key"]), value, int(kv["mod_revision"]))
