"""Makes a fresh Debian machine ready: `python3 -m tools.setup`. Standard library only."""
