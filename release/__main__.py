"""`python -m release`."""

from release.cli import app

if __name__ == "__main__":
    app()
