"""Where a database is, without letting a password into the list of processes. Pure."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SECRETS = ("password", "passfile", "sslpassword")


class BadAddressError(ValueError):
    """An address that can't be used. The message never holds it when it may hold a password."""


def chosen(option: str, url: str | None, variable: str | None, environment: Mapping[str, str]) -> URL:
    """The address of `option` (`--from`, `--to`), from the command line or from a variable's value."""
    if (url is None) == (variable is None):
        raise BadAddressError(f"{option}: allowed is one of {option} URL and {option}-env NAME")
    if variable is None:
        address = parsed(option, str(url))
        if address.password is not None or any(key in address.query for key in SECRETS):
            raise BadAddressError(
                f"{option}: a URL with a password is not allowed here, others could read it; "
                f"put it into a variable and name that: {option}-env NAME"
            )
        return address
    if variable not in environment:
        raise BadAddressError(f"{option}-env: {variable} is not set")
    return parsed(f"{option}-env {variable}", environment[variable])


def parsed(option: str, text: str) -> URL:
    """A URL for SQLAlchemy: sqlite:///FILE, opened for reading only, or postgresql://..."""
    try:
        address = make_url(text)
    except ArgumentError:
        raise BadAddressError(f"{option}: not a URL; allowed: sqlite:///FILE, postgresql://...") from None
    if address.drivername == "sqlite":
        file = Path(address.database or "")
        if not file.is_file():
            raise BadAddressError(f"{option}: {file} is not a file; allowed: an existing SQLite database")
        return URL.create("sqlite", database=f"file:{file.resolve()}", query={"mode": "ro", "uri": "true"})
    if address.drivername in ("postgresql", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    raise BadAddressError(
        f"{option}: {address.drivername!r} is not allowed; allowed: sqlite:///FILE, postgresql://..."
    )
