"""The standard health protocol, telling what /readyz tells."""

import threading
from collections.abc import Callable

from grpc_health.v1 import health, health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Asks every `every_s` seconds whether the process is ready, and tells those who check or watch.

    The empty name stands for the whole server. After `stop` both names stay NOT_SERVING.
    """

    def __init__(
        self, service: str, not_ready_because: Callable[[], str | None], *, every_s: float = 0.25
    ) -> None:
        self.servicer = health.HealthServicer(experimental_non_blocking=True)
        self._names = ("", service)
        self._not_ready_because, self._every_s = not_ready_because, every_s
        self._stopped = threading.Event()
        self._told: int | None = None
        self._thread = threading.Thread(target=self._follow, name="grpc-health", daemon=True)

    def start(self) -> None:
        """Tell the state now, and each change from now on."""
        self._tell()
        self._thread.start()

    def stop(self) -> None:
        """Not serving any more, whatever the runtime says."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.servicer.enter_graceful_shutdown()

    def _follow(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._tell()

    def _tell(self) -> None:
        try:
            state = NOT_SERVING if self._not_ready_because() else SERVING
        except Exception:  # who can't say that it is ready is not
            state = NOT_SERVING
        if state != self._told:
            self._told = state
            for name in self._names:
                self.servicer.set(name, state)
