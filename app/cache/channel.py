"""Messages from one Redis channel, in a thread that reconnects by itself."""

import threading
import time
from collections.abc import Callable
from typing import Any

from app.cache.address import Address
from app.cache.connect import TIMEOUT_S, client, close

RETRY_S = 0.5
PING_S = 1.0
SILENT_S = 3.0


class Channel:
    """Calls on_message(octets) for each message, and on_connected() after each subscription.

    A message that was published between two connections is lost, so `on_connected` must make good for it.
    A connection that says nothing for `SILENT_S`, though pinged, is given up: half-open ones look alive.
    Neither callback may raise or block for long.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        on_message: Callable[[bytes], None],
        on_connected: Callable[[], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        new_client: Callable[[Address, float], Any] = client,
    ) -> None:
        self._address, self._name = address, name
        self._on_message, self._on_connected = on_message, on_connected
        self._monotonic, self._new_client = monotonic, new_client
        self._stopped = threading.Event()
        self._subscribed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"channel-{name}", daemon=True)

    def start(self) -> None:
        """Begin to listen, in the background."""
        self._thread.start()

    def wait_until_subscribed(self, timeout_s: float) -> bool:
        """Whether messages arrive now, waiting for it that long."""
        return self._subscribed.wait(timeout_s)

    def stop(self) -> None:
        """Listen no more; waits a moment for the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(2 * PING_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            fresh = None
            try:
                fresh = self._new_client(self._address, TIMEOUT_S)
                with fresh.pubsub() as subscription:
                    subscription.subscribe(self._name)
                    self._listen(subscription)
            except Exception:
                self._stopped.wait(RETRY_S)
            finally:
                self._subscribed.clear()
                close(fresh)

    def _listen(self, subscription: Any) -> None:
        heard = pinged = self._monotonic()
        while not self._stopped.is_set():
            message = subscription.get_message(timeout=0.2)
            now = self._monotonic()
            if message is not None:
                heard = now
                if message["type"] == "subscribe":
                    self._subscribed.set()
                    self._on_connected()
                elif message["type"] == "message":
                    self._on_message(message["data"])
            if now - heard > SILENT_S:
                raise ConnectionError(f"nothing heard for {SILENT_S} s")
            if now - pinged > PING_S:
                pinged = now
                subscription.ping()
