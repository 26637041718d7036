"""What a part of an etcd key may look like."""

import re

PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def checked_part(what: str, name: str) -> str:
    """The name. Raises ValueError that says what is allowed."""
    if not isinstance(name, str) or not PART.fullmatch(name):
        raise ValueError(
            f"{what}: {name!r} is not allowed; allowed: up to 128 letters, digits, '.', '_', ':' and '-', "
            "the first one a letter or digit"
        )
    return name
