"""The live configuration of every tag, as etcd has it now, or as it last was known.

A thread watches; since watches have lost events, it lists everything again now and then and after each
error. Readers get an immutable snapshot without a lock. What was seen last is kept on disk for a start
without etcd. A value that isn't valid is refused and told once; the tag keeps the last good one.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from app.coordination.config_keys import PREFIX, BadConfigError, Place, checked, parse
from app.coordination.store import EtcdAwayError, Store, WatchBrokenError

RELIST_S = 60.0
IDLE_S = 3.0
RETRY_S = 1.0
NOTHING: Mapping[str, Any] = MappingProxyType({})
OnChange = Callable[[Place, Mapping[str, Any] | None, Mapping[str, Any] | None], None]
OnTrouble = Callable[[str, str], None]


class ConfigWatch:
    """`load` once, then `start`; `overlay` at any time.

    on_change(place, old, new) is told each change, None for "nothing set". on_refused(key, why) is told each
    refused value once, also one in the disk cache. on_trouble(why) is told when etcd goes away, once.
    A half-dead connection is noticed after `idle_s`; nothing is lost, for the watch goes on at its revision.
    """

    def __init__(
        self,
        store: Store,
        cache: Path | None,
        *,
        on_change: OnChange = lambda place, old, new: None,
        on_refused: OnTrouble = lambda key, why: None,
        on_trouble: Callable[[str], None] = lambda why: None,
        relist_s: float = RELIST_S,
        idle_s: float = IDLE_S,
        retry_s: float = RETRY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._cache = store, cache
        self._on_change, self._on_refused, self._on_trouble = on_change, on_refused, on_trouble
        self._relist_s, self._idle_s, self._retry_s, self._monotonic = relist_s, idle_s, retry_s, monotonic
        self._overlays: Mapping[Place, Mapping[str, Any]] = MappingProxyType({})
        self._refused: dict[str, str] = {}
        self._revision = 0
        self._listed_at: float | None = None
        self._away = self._saved = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def overlay(self, workspace: str, group: str, tag: str) -> Mapping[str, Any]:
        """The fields that etcd sets for a tag, read-only, perhaps none. No lock, no I/O."""
        return self._overlays.get(Place(workspace, group, tag), NOTHING)

    def overlays(self) -> Mapping[Place, Mapping[str, Any]]:
        """All of them, as of one moment."""
        return self._overlays

    @property
    def age_s(self) -> float | None:
        """Seconds since everything was last listed; None: never in this process."""
        return None if self._listed_at is None else self._monotonic() - self._listed_at

    def load(self) -> Literal["etcd", "cache", "nothing"]:
        """Fill the overlays before serving, and say from where. Never raises."""
        cached = self._load_cache()  # first, as the last good one of what is bad in etcd
        try:
            self.relist()
            return "etcd"
        except EtcdAwayError as error:
            self._tell_away(str(error))
        return "cache" if cached else "nothing"

    def start(self) -> None:
        """Follow etcd in a daemon thread."""
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within `idle_s` and a time-out of etcd."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self._idle_s + 5)

    def relist(self) -> None:
        """Take everything as it stands in etcd. Raises EtcdAwayError."""
        entries, self._revision = self._store.list(PREFIX)
        fresh: dict[Place, Mapping[str, Any]] = {}
        for entry in entries:
            if read := self._read(entry.key, entry.value):
                fresh[read[0]] = read[1]
        self._refused = {e.key: e.value for e in entries if self._refused.get(e.key) == e.value}
        self._become(fresh)
        self._listed_at, self._away = self._monotonic(), False

    def follow(self) -> None:
        """Apply changes until none came for `idle_s` or it's time to list. Raises as the store's watch."""
        for change in self._store.watch(PREFIX, self._revision, self._idle_s):
            fresh = dict(self._overlays)
            if change.value is not None:
                if read := self._read(change.key, change.value):
                    fresh[read[0]] = read[1]
            else:
                self._refused.pop(change.key, None)
                try:
                    fresh.pop(Place.of(change.key), None)
                except BadConfigError:
                    continue
            self._revision = max(self._revision, change.revision)
            self._become(fresh)
            if self._stop.is_set() or self._list_is_due():
                return

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._list_is_due():
                    self.relist()
                self.follow()
            except (EtcdAwayError, WatchBrokenError) as error:
                self._tell_away(str(error))
                self._listed_at = None
                self._stop.wait(self._retry_s)

    def _list_is_due(self) -> bool:
        return self._listed_at is None or self._monotonic() - self._listed_at >= self._relist_s

    def _read(self, key: str, value: str) -> tuple[Place, Mapping[str, Any]] | None:
        """Which tag gets which fields; for a bad value the last good ones, None where there are none."""
        place = None
        try:
            place = Place.of(key)
            fields = parse(value)
        except BadConfigError as error:
            if self._refused.get(key) != value:
                self._refused[key] = value
                self._on_refused(key, str(error))
            kept = self._overlays.get(place) if place else None
            return (place, kept) if place and kept is not None else None
        self._refused.pop(key, None)
        return place, fields

    def _become(self, fresh: Mapping[Place, Mapping[str, Any]]) -> None:
        old = self._overlays
        changed = [place for place in {**old, **fresh} if old.get(place) != fresh.get(place)]
        if changed:
            self._overlays = MappingProxyType(dict(fresh))
        if changed or not self._saved:
            self._save_cache()
        for place in sorted(changed):
            self._on_change(place, old.get(place), fresh.get(place))

    def _tell_away(self, why: str) -> None:
        if not self._away:
            self._on_trouble(why)
        self._away = True

    def _save_cache(self) -> None:
        if self._cache is None:
            return
        content = {place.key: dict(fields) for place, fields in sorted(self._overlays.items())}
        try:
            write_atomically(self._cache, json.dumps(content, indent=1))
            self._saved = True
        except OSError as error:
            self._on_trouble(f"configuration not kept on disk: {error}")

    def _load_cache(self) -> bool:
        if self._cache is None:
            return False
        try:
            content = json.loads(self._cache.read_text())
            entries = {str(key): dict(fields) for key, fields in content.items()}
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._on_refused(str(self._cache), f"not readable: {error}")
            return False
        fresh = {}
        for key, fields in entries.items():
            try:
                fresh[Place.of(key)] = checked(fields)
            except BadConfigError as error:
                self._on_refused(key, f"{self._cache}: {error}")
        self._overlays = MappingProxyType(fresh)
        return True


def write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole, mode 0600, durable. Raises OSError, and then the old one stands."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
