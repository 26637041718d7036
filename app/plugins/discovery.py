"""Finds distributions with plugins, and imports them anew without touching what is in use."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from app.plugins.plugin import BrokenPluginError

GROUP = "plumbline.algorithms"

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A distribution with plugins. `roots` are its top-level modules that plugins are in."""

    distribution: str
    version: str
    entries: tuple[metadata.EntryPoint, ...]
    roots: frozenset[str]
    directory: Path
    digest: str


def find(path: Sequence[str] | None = None) -> list[Found]:
    """Every distribution on `path` (sys.path) that has plugins, by name; the first on the path wins."""
    importlib.invalidate_caches()
    found: dict[str, Found] = {}
    for distribution in metadata.distributions(path=list(sys.path if path is None else path)):
        entries = tuple(distribution.entry_points.select(group=GROUP))
        # Only now, since reading the metadata of all that is installed would take most of the time.
        if entries and (name := distribution.metadata["Name"] or "unnamed") not in found:
            directory = Path(str(distribution.locate_file("")))
            roots = frozenset(entry.value.partition(":")[0].strip().partition(".")[0] for entry in entries)
            found[name] = Found(
                name, distribution.version, entries, roots, directory,
                _digest(directory, distribution.version, entries, roots),
            )  # fmt: skip
    return [found[name] for name in sorted(found)]


def import_anew(found: Found, accept: Callable[[Mapping[str, object]], T]) -> T:
    """What `accept` makes of the entry points' objects by name, from newly imported modules.

    Objects made from the modules that were there before go on working: those modules are taken out of
    sys.modules, not changed. After an error, also of `accept`, they are back. Raises BrokenPluginError.
    """
    for root in found.roots:
        _check_root(found, root)
    before = _modules(found.roots)
    for name in before:
        del sys.modules[name]
    writes_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        # Cached bytecode knows its source by whole seconds: a file changed twice in one would be missed.
        return accept({entry.name: entry.load() for entry in found.entries})
    except BrokenPluginError:
        _put_back(found, before)
        raise
    except BaseException as error:
        _put_back(found, before)
        if not isinstance(error, Exception | SystemExit):
            raise
        raise BrokenPluginError(f"{found.distribution}: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = writes_nothing


def _put_back(found: Found, before: Mapping[str, ModuleType]) -> None:
    for name in _modules(found.roots):
        del sys.modules[name]
    sys.modules.update(before)


def _check_root(found: Found, root: str) -> None:
    """A plugin may replace its own modules only."""
    if root in sys.stdlib_module_names or root == __name__.partition(".")[0]:
        raise BrokenPluginError(f"{found.distribution}: module {root!r} is not a plugin's own")
    if not _sources(found.directory, root):
        raise BrokenPluginError(f"{found.distribution}: module {root!r} is not in {found.directory}")


def _modules(roots: frozenset[str]) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}


def _sources(directory: Path, root: str) -> list[Path]:
    package = directory / root
    if package.is_dir():
        return sorted(path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [path for path in directory.glob(f"{root}.*") if path.suffix in (".py", ".so")]


def _digest(
    directory: Path, version: str, entries: Sequence[metadata.EntryPoint], roots: frozenset[str]
) -> str:
    digest = hashlib.sha256(repr((version, sorted((e.name, e.value) for e in entries))).encode())
    for root in sorted(roots):
        for path in _sources(directory, root):
            digest.update(f"\0{path.relative_to(directory)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
