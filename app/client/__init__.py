"""A client of the ID service: `IdsClient`. Needs httpx2 and stamina, nothing of the service itself.

See docs/sdk.md.
"""

from app.client.client import Decoded, IdsClient
from app.client.errors import IdsError, NotReachedError, RefusedError

__all__ = ["Decoded", "IdsClient", "IdsError", "NotReachedError", "RefusedError"]
