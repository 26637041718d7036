"""Metrics of the gRPC side."""

from collections.abc import Iterable

from app.observing.metrics.series import Families, Metric

OUTCOMES = ("ok", "refused", "error")

TABLE = (
    Metric(
        "idgen_grpc_requests_total",
        "counter",
        "gRPC calls; refused: the caller's mistake",
        {"method": None, "outcome": OUTCOMES},
    ),
    Metric("idgen_grpc_duration_seconds", "histogram", "Time to answer a gRPC call", {"method": None}),
)


class Rpc:
    """What the gRPC server reports."""

    def __init__(self, families: Families) -> None:
        self._requests = families["idgen_grpc_requests_total"]
        self._duration = families["idgen_grpc_duration_seconds"]

    def serves(self, methods: Iterable[str]) -> None:
        """Let the series of these methods exist at 0."""
        for method in methods:
            self._duration(method)
            for outcome in OUTCOMES:
                self._requests(method, outcome)

    def request(self, method: str, outcome: str, seconds: float) -> None:
        """Count one call of a method that the server has."""
        self._requests(method, outcome).inc()
        self._duration(method).observe(seconds)
