"""gunicorn's thread worker, with threads that stay on a busy connection.

The stock gthread worker takes each request of a kept-alive connection through its main thread: poller, queue,
pool thread, pipe, poller again. That costs more than the request itself. Here the thread waits a moment for
the connection's next request, unless other connections need it.
"""

import select

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

LINGER_MS = 200


class LingeringWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Half of the threads may linger, so that a new connection always finds a free one."""

    lingering = 0

    def handle(self, conn: TConn) -> object:
        """Serve a connection until it's idle, must close, or its thread is wanted elsewhere."""
        while (result := super().handle(conn)) is True and self.alive:
            if conn.parser.unreader.buf.getvalue():
                continue
            if self.lingering >= self.cfg.threads // 2 or not self._readable_soon(conn):
                break
        return result

    def _readable_soon(self, conn: TConn) -> bool:
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        # Not exact between threads, and needn't be: it only keeps some threads free.
        self.lingering += 1
        try:
            return bool(poll.poll(LINGER_MS))
        finally:
            self.lingering -= 1
