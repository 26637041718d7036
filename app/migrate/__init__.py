"""The database's schema: what brings it to this version's, and whether it may while another version runs."""

from app.migrate.cli import main
from app.migrate.schema import DatabaseAheadError, Upgraded, current, differences, upgrade

__all__ = ["DatabaseAheadError", "Upgraded", "current", "differences", "main", "upgrade"]
