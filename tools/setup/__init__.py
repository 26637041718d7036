"""Makes a fresh Debian machine ready: `python3 -m tools.setup`. Standard library only."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the machine's own Python runs this before any other is there
    raise SystemExit(
        "python: {}.{} is too old; 3.11 or newer is needed (make PYTHON=python3.11 ...)".format(
            *sys.version_info
        )
    )
