"""`python -m app.move`."""

import sys

from app.move.cli import main

sys.exit(main())
