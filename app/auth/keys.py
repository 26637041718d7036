"""API keys as text: `plk_` and 43 characters, 256 random bits. Only their SHA-256 is ever kept."""

import hashlib
import re
from collections.abc import Callable
from secrets import token_urlsafe

PREFIX = "plk_"
LENGTH = len(PREFIX) + 43
SHOWN = len(PREFIX) + 4
"""Characters that may be shown and stored, to tell keys apart."""

_FORM = re.compile(r"plk_[A-Za-z0-9_-]{43}", re.ASCII)


def make(urlsafe: Callable[[int], str] = token_urlsafe) -> str:
    """A new key; show it once. urlsafe: that many random octets as URL-safe base64 without padding."""
    return PREFIX + urlsafe(32)


def well_formed(token: str) -> bool:
    """Whether it can be a key at all. Takes no longer for a long text than for a key."""
    return len(token) == LENGTH and _FORM.fullmatch(token) is not None


def digest(token: str) -> bytes:
    """The 32 octets under which a key is known. A plain hash will do: nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def shown(token: str) -> str:
    """The beginning of a key, for lists."""
    return token[:SHOWN]
