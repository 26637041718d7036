"""Threads that draw from one service each, at a bounded rate, whatever happens to it."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from release.load.soak.counting import Drawn

PAUSE_AFTER_FAILURE_S = 0.2


@dataclass
class Drawer:
    """Draws `count` IDs of a tag a request, `per_s` IDs a second at most, on one connection."""

    name: str
    address: str
    port: int
    headers: dict[str, str]
    tag: str
    count: int
    per_s: float
    drawn: Drawn
    answers: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the request under way."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        connection, streams = None, 0
        while not self._stop.is_set():
            begun = time.monotonic()
            if connection is None:
                connection = http.client.HTTPConnection(self.address, self.port, timeout=15)
                streams += 1
            try:
                outcome = self._draw(connection, f"{self.name}-{streams}")
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                connection.close()
                connection = None
            self.answers[outcome] += 1
            if outcome != "200":
                self._stop.wait(PAUSE_AFTER_FAILURE_S)
            self._stop.wait(max(0.0, self.count / self.per_s - (time.monotonic() - begun)))
        if connection is not None:
            connection.close()

    def _draw(self, connection: http.client.HTTPConnection, stream: str) -> str:
        connection.request("POST", f"/v1/ids/{self.tag}?count={self.count}", headers=self.headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            self.drawn.add(self.tag, stream, body, self.count)
        return str(answer.status)
