"""Redis behind calls that never raise and, when it's away, cost nothing.

A call that fails opens the circuit breaker. While it's open no call touches the network; every few seconds
the next call has a probe started in the background, which connects anew and closes the breaker. So
an outage costs the requests under way at its start one timeout each, and the later ones nothing.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterError, ConnectionError, RedisClusterException, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.cache.address import Address
from app.cache.breaker import Breaker

TIMEOUT_S = 0.25
PAUSE_S = 2.0
MOST_CONNECTIONS = 64
PIPELINE = 500
"""Commands sent in one go."""

T = TypeVar("T")


def client(address: Address, timeout_s: float = TIMEOUT_S) -> Any:
    """A redis-py client of the address's mode. Connects at once only to a cluster; raises as redis-py does.

    A cluster's URL should name nodes enough that one of them is always there: it's asked for the others.

    timeout_s: for connecting and for each answer. A connection that the server has closed in the meantime is
    replaced once; a timeout is never waited for twice.
    """
    # RESP2 on purpose: nothing here needs RESP3, and its hand-shake is one more thing to wait for.
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "max_connections": MOST_CONNECTIONS,
    }
    if address.tls:
        options |= {"ssl": True} | ({"ssl_ca_certs": address.ca} if address.ca else {})
    login: dict[str, Any] = {"username": address.username, "password": address.password}
    once = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
    if address.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
        made = RedisCluster(startup_nodes=nodes, retry=once, require_full_coverage=False, **login, **options)
        # redis-py looks for the topology inside the command that failed, one timeout for each node that is
        # away. Here that command fails at once, and the probe makes a client that looks for it.
        made.nodes_manager.initialize = _left_to_the_probe  # type: ignore[method-assign]
        return made
    options |= {"retry": once}
    if address.mode == "sentinel":
        asked = {"password": address.sentinel_password, **options, "retry": Retry(NoBackoff(), 0)}
        sentinels = Sentinel(address.nodes, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
        return sentinels.master_for(address.master, db=address.database, **login, **options)  # type: ignore[no-untyped-call]
    (host, port) = address.nodes[0]
    return redis.Redis(host=host, port=port, db=address.database, **login, **options)


def _left_to_the_probe(*_: object, **__: object) -> None:
    raise RedisClusterException(f"the cluster has changed: {sys.exception()}")


def in_thread(function: Callable[[], None]) -> None:
    """Run it in a thread of its own, which doesn't keep the process alive."""
    threading.Thread(target=function, name="redis-probe", daemon=True).start()


class Cache:
    """Short values by key. No method raises; each says by its answer when Redis had none.

    spawn: runs a function in the background. on_call(operation, outcome): after each call, outcome `ok`,
    `error` or `skipped` (the breaker is open). on_state(up, why): when Redis comes or goes; `why` is for
    people and holds no password. Keys and values are UTF-8 text and octets; times are seconds.
    """

    def __init__(
        self,
        address: Address,
        monotonic: Callable[[], float],
        *,
        spawn: Callable[[Callable[[], None]], object] = in_thread,
        on_call: Callable[[str, str], None] = lambda operation, outcome: None,
        on_state: Callable[[bool, str], None] = lambda up, why: None,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        new_client: Callable[[Address, float], Any] = client,
    ) -> None:
        self.address = address
        self._spawn, self._on_call, self._on_state = spawn, on_call, on_state
        self._timeout_s, self._new_client = timeout_s, new_client
        self._breaker = Breaker(monotonic, pause_s)
        self._client: Any = None
        self._stopped = False
        self._told: bool | None = None
        self._lock = threading.Lock()

    @property
    def up(self) -> bool:
        """Whether calls are made now."""
        return self._breaker.closed

    def start(self) -> bool:
        """Connect now, in this thread; whether Redis answered. Without it the first call has it done."""
        if self._breaker.probe_due():
            self._probe()
        return self.up

    def wake(self) -> None:
        """Have a probe started if one is due; called now and then, it spares requests that."""
        if not self._breaker.closed and self._breaker.probe_due():
            self._start_probe()

    def get(self, key: str) -> bytes | None:
        """The value; None when there is none or Redis is away."""
        return self._call("get", lambda c: c.get(key))

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the keys' order, None as in `get`."""
        found: list[bytes | None] = []
        for start in range(0, len(keys), PIPELINE):
            part = keys[start : start + PIPELINE]
            answers = self._run("get", [("GET", key) for key in part])
            found += [None] * len(part) if answers is None else answers
        return found

    def put(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Whether it was stored."""
        return bool(self._call("put", lambda c: c.set(key, value, px=_ms(ttl_s))))

    def put_new(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Whether it was stored, which it is only if the key has no value: of many callers one succeeds."""
        return bool(self._call("put", lambda c: c.set(key, value, px=_ms(ttl_s), nx=True)))

    def put_many(self, values: Mapping[str, tuple[bytes, float]]) -> int:
        """Store {key: (value, ttl_s)}; how many were stored."""
        commands = [("SET", key, value, "PX", _ms(ttl_s)) for key, (value, ttl_s) in values.items()]
        parts = [commands[start : start + PIPELINE] for start in range(0, len(commands), PIPELINE)]
        return sum(len(self._run("put", part) or []) for part in parts)

    def forget(self, key: str) -> bool:
        """Whether Redis took it."""
        return self._call("forget", lambda c: c.delete(key)) is not None

    def publish(self, channel: str, message: bytes) -> bool:
        """Whether Redis took it; who listens then gets it at most once."""
        return self._call("publish", lambda c: c.publish(channel, message)) is not None

    def close(self) -> None:
        """Close the connections; later calls do nothing."""
        with self._lock:
            self._stopped = True
            old, self._client = self._client, None
        self._breaker.failed()
        close(old)

    def _run(self, operation: str, commands: Sequence[tuple[Any, ...]]) -> list[Any] | None:
        return self._call(operation, lambda client: _run(client, commands))

    def _call(self, operation: str, do: Callable[[Any], T]) -> T | None:
        client = self._client
        if client is None or not self._breaker.closed:
            self.wake()
            self._on_call(operation, "skipped")
            return None
        try:
            answer = do(client)
        except Exception as error:  # a cache must not fail a request, whatever went wrong in it
            # An answer that refuses this one command, such as "out of memory", says nothing about the next.
            refused = isinstance(error, ResponseError) and not isinstance(error, ClusterError)
            if not refused and client is self._client and self._breaker.failed():
                self._tell(False, _why(error))
            self._on_call(operation, "error")
            return None
        self._on_call(operation, "ok")
        return answer

    def _start_probe(self) -> None:
        if self._stopped:
            return
        try:
            self._spawn(self._probe)
        except Exception:  # the executor may be shut down already
            self._breaker.failed()

    def _probe(self) -> None:
        fresh = None
        try:
            # A client made anew has no connection and no topology from before the outage.
            fresh = self._new_client(self.address, self._timeout_s)
            fresh.ping()
        except Exception as error:
            close(fresh)
            self._breaker.failed()
            self._tell(False, _why(error))
            return
        with self._lock:
            if self._stopped:
                close(fresh)
                return
            old, self._client = self._client, fresh
        close(old)
        self._breaker.succeeded()
        self._tell(True, str(self.address))

    def _tell(self, up: bool, why: str) -> None:
        with self._lock:
            known, self._told = self._told, up
        if known is not up:
            self._on_state(up, why)


def _run(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send them together; across a cluster's nodes too, so not as one transaction."""
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute())


def _ms(ttl_s: float) -> int:
    return max(1, round(ttl_s * 1000))


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def close(client: Any) -> None:
    """Close a client, if there is one, whatever state it's in."""
    with contextlib.suppress(Exception):
        client.close()
