"""gunicorn's thread worker, whose event loop answers by itself what memory alone can answer.

The stock gthread worker takes each request of a kept-alive connection through its main thread: poller, queue,
pool thread, pipe, poller again. That costs more than the request itself. Here the loop reads the octets; a
plain request for IDs that needs no waiting (`instant` says so) is answered in place. Everything else goes on
as in gthread, with what was read given to the parser.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from app.server.balance import connections
from app.server.short_path import IssueRequest, ShortPath

MOST_OCTETS = 65_536
IDLE_LOOK_S = 1.0
YIELD_S = 0.0005
Instant = Callable[[IssueRequest], bytes | None]


class ServiceWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`instant` gives a whole HTTP answer, or None for the long way; the application sets it once it can."""

    def init_process(self) -> None:
        """Prepare the loop; the application is loaded in here."""
        self._short = ShortPath()
        self._instant: Instant | None = None
        self._look_at = 0.0
        connections.set(self.age, 0)
        super().init_process()

    def load_wsgi(self) -> None:
        """The application, and what it has to answer at once."""
        super().load_wsgi()
        self._instant = getattr(self.wsgi, "instant", None)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: gRPC drains while HTTP does, since both share the time that there is."""
        if self.alive and (drain := getattr(self.wsgi, "drain", None)):
            threading.Thread(target=drain, name="drain", daemon=True).start()
        super().handle_exit(sig, frame)

    def accept(self, listener: Any) -> None:
        """A new connection waits in the poller for its first request, like a kept one."""
        if connections.is_fullest(self.age):
            # The others woke up as well: whoever has fewer connections may go first.
            time.sleep(YIELD_S)
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.nr_conns += 1
        self._keep(TConn(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Answer in place, or hand the connection with what was read to a thread."""
        try:
            data = client.recv(MOST_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        answer = self._answer(data)
        if answer is None:
            self._release(conn)
            conn.init()
            conn.parser.unreader.unread(data)
            self.enqueue_req(conn)
            return
        conn.set_timeout()
        self._send(conn, client, answer)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that were idle for too long. Looks seldom: it costs the loop time."""
        now = time.monotonic()
        if now < self._look_at and not force:
            return
        self._look_at = now + IDLE_LOOK_S
        for conn in [conn for conn in self.keepalived_conns if force or conn.timeout <= now]:
            self._drop(conn)

    @property
    def nr_conns(self) -> int:
        """Open connections, which the other workers see, too."""
        return self._open

    @nr_conns.setter
    def nr_conns(self, number: int) -> None:
        self._open = number
        connections.set(self.age, number)

    def _answer(self, data: bytes) -> bytes | None:
        # A stopping worker must say "Connection: close", which the long way does.
        if self._instant is None or not self.alive:
            return None
        request = self._short.read(data)
        return None if request is None else self._instant(request)

    def _send(self, conn: TConn, client: socket.socket, answer: bytes) -> None:
        try:
            sent = client.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(conn)
            return
        if sent < len(answer):
            # A slow reader must not hold up the loop: a thread sends the rest.
            self._release(conn)
            task = self.tpool.submit(self._send_rest, conn, answer[sent:])
            task.add_done_callback(lambda done: self.method_queue.defer(self._rest_sent, conn, done))

    def _send_rest(self, conn: TConn, rest: bytes) -> None:
        conn.sock.settimeout(self.cfg.timeout)
        conn.sock.sendall(rest)

    def _rest_sent(self, conn: TConn, done: Any) -> None:
        if done.exception() is None:
            self._keep(conn)
        else:
            self.nr_conns -= 1
            conn.close()

    def _keep(self, conn: TConn) -> None:
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _release(self, conn: TConn) -> None:
        """Take a connection out of the poller; it stays open."""
        self.poller.unregister(conn.sock)
        self.keepalived_conns.remove(conn)

    def _drop(self, conn: TConn) -> None:
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        with contextlib.suppress(ValueError):
            self.keepalived_conns.remove(conn)
        self.nr_conns -= 1
        conn.close()
