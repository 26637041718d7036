"""The same service as for traces."""

from tests.integration.app.observing.conftest import downstream, serve

__all__ = ["downstream", "serve"]
