"""The service's metrics; they are declared in app.observing.metrics."""

from app.observing.metrics import Metrics

__all__ = ["Metrics"]
