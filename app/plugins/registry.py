"""The plugins of one process, exchanged as a whole at a reload: a broken one leaves the old one in use."""

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from app.plugins import discovery
from app.plugins.discovery import Found
from app.plugins.plugin import BrokenPluginError, Context, Factory, Plugin, Status, tried
from app.server.logs import logger

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class UnknownPluginError(LookupError):
    """No usable plugin has this name."""


@dataclass(frozen=True)
class Reload:
    """What a reload did. `outcome` is `error` when any distribution is broken, else `ok`."""

    outcome: str
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    errors: tuple[str, ...]
    seconds: float


class Registry:
    """Plugins by name. Reading takes no lock.

    built_in: names that a plugin may not take. trial: what plugins are tried with. path: directories
    searched, sys.path without. reloaded(outcome, seconds): told of every reload. changed(names): told of
    plugins that are new, exchanged or gone, so that generators made from them are made anew.
    """

    def __init__(
        self,
        built_in: Collection[str],
        trial: Context,
        *,
        path: Sequence[str] | None = None,
        reloaded: Callable[[str, float], None] = lambda outcome, seconds: None,
        changed: Callable[[Collection[str]], None] = lambda names: None,
        record: Callable[..., None] = lambda *event, **more: None,
    ) -> None:
        self._built_in, self._trial, self._path = frozenset(built_in), trial, path
        self._reloaded, self._changed, self._record = reloaded, changed, record
        self._active: dict[str, Plugin] = {}
        self._statuses: tuple[Status, ...] = ()
        self._lock = threading.Lock()

    def factory(self, name: str) -> Factory:
        """The plugin's factory. Raises UnknownPluginError."""
        try:
            return self._active[name].factory
        except KeyError:
            known = ", ".join(sorted(self._active)) or "none"
            raise UnknownPluginError(f"plugin: {name!r} is not active; active: {known}") from None

    def __contains__(self, name: object) -> bool:
        """Whether a usable plugin has this name."""
        return name in self._active

    def statuses(self) -> tuple[Status, ...]:
        """Every plugin known, by name."""
        return self._statuses

    def reload(self, actor: str = "system") -> Reload:
        """Look for plugins again and exchange those that changed. Never raises for a broken one."""
        started = time.perf_counter()
        with self._lock:
            active, statuses, errors = self._next()
            before = self._active
            self._active, self._statuses = active, statuses
        changed = tuple(sorted(name for name, plugin in active.items() if before.get(name) != plugin))
        removed = tuple(sorted(before.keys() - active.keys()))
        done = Reload(
            "error" if errors else "ok", changed, removed, tuple(errors), time.perf_counter() - started
        )
        if changed or removed:
            self._changed((*changed, *removed))
        self._reloaded(done.outcome, done.seconds)
        if changed or removed or errors:
            logger().info("plugins reloaded", changed=changed, removed=removed, errors=errors)
            detail = {"changed": changed, "removed": removed, "errors": [text[:500] for text in errors]}
            self._record("plugins.reloaded", "plugins", done.outcome, actor=actor, detail=detail)
        return done

    def _next(self) -> tuple[dict[str, Plugin], tuple[Status, ...], list[str]]:
        active: dict[str, Plugin] = {}
        statuses: list[Status] = []
        errors: list[str] = []
        everything = discovery.find(self._path)
        there = {found.distribution for found in everything}
        owners = {p.name: p.distribution for p in self._active.values() if p.distribution in there}
        for found in everything:
            try:
                plugins, error = self._plugins(found, owners), ""
                owners.update({plugin.name: found.distribution for plugin in plugins})
            except BrokenPluginError as broken:
                # All of a distribution's plugins share modules, so they stay or go together.
                plugins = [p for p in self._active.values() if p.distribution == found.distribution]
                error = str(broken)
                errors.append(error)
            active.update({plugin.name: plugin for plugin in plugins})
            statuses += [
                Status(p.name, p.distribution, p.version, p.target, "outdated" if error else "active", error)
                for p in plugins
            ]
            known = {plugin.name for plugin in plugins}
            statuses += [
                Status(e.name, found.distribution, found.version, e.value, "broken", error)
                for e in found.entries
                if error and e.name not in known
            ]
        return active, tuple(sorted(statuses, key=lambda s: (s.name, s.distribution))), errors

    def _plugins(self, found: Found, owners: Mapping[str, str]) -> list[Plugin]:
        """The distribution's plugins: those in use when nothing changed, else imported and tried."""
        current = [p for p in self._active.values() if p.distribution == found.distribution]
        for entry in found.entries:
            if not _NAME.fullmatch(entry.name) or entry.name in self._built_in:
                raise BrokenPluginError(
                    f"{found.distribution}: name: {entry.name[:40]!r} is not allowed; allowed: a lower-case "
                    f"letter, then up to 31 letters, digits and _, and none of {sorted(self._built_in)}"
                )
            if (owner := owners.get(entry.name, found.distribution)) != found.distribution:
                raise BrokenPluginError(f"{found.distribution}: name: {entry.name!r} is taken by {owner}")
        if current and all(plugin.digest == found.digest for plugin in current):
            return current
        targets = {entry.name: entry.value for entry in found.entries}
        return discovery.import_anew(
            found,
            lambda objects: [
                Plugin(
                    name, found.distribution, found.version, targets[name], found.digest,
                    tried(name, made, self._trial),
                )
                for name, made in objects.items()
            ],
        )  # fmt: skip
