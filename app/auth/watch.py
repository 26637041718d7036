"""The two threads that keep a KeyDirectory up to date: its tick, and the channel of revocations."""

import threading
import time
from collections.abc import Callable

from app.auth.directory import CHANNEL, TICK_S, KeyDirectory
from app.cache.address import Address
from app.cache.channel import Channel

USED_S = 60.0


class KeyWatch:
    """Ticks every 2 s and tells the use of keys every minute, and once more at the stop.

    on_error: told what a tick or a flush raised; it should log it. Made after the fork.
    """

    def __init__(
        self,
        directory: KeyDirectory,
        redis: Address | None,
        *,
        on_error: Callable[[Exception], None],
        monotonic: Callable[[], float] = time.monotonic,
        tick_s: float = TICK_S,
    ) -> None:
        self._directory, self._on_error, self._monotonic = directory, on_error, monotonic
        self._tick_s = tick_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self.channel = (
            Channel(redis, CHANNEL, directory.on_message, directory.distrust) if redis is not None else None
        )

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()
        if self.channel:
            self.channel.start()

    def stop(self) -> None:
        """End both threads and tell what was counted. Call it when no request runs any more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5)
        if self.channel:
            self.channel.stop()
        self._try(self._directory.tick)
        self._try(self._directory.flush_used)

    def _run(self) -> None:
        flushed = self._monotonic()
        while not self._stopped.is_set():
            self._try(self._directory.tick)
            if self._monotonic() - flushed >= USED_S:
                flushed = self._monotonic()
                self._try(self._directory.flush_used)
            self._stopped.wait(self._tick_s)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._on_error(error)
