"""A load run on the client host: one transient systemd unit there, at most one at a time."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from infra.inventory import Inventory
from infra.paths import repo_root
from release.engine.request import BadRequest, check_version
from release.load.destination import destination
from release.load.summary import LoadSummary
from release.targets.transport import Answer, Host, run_on

UNIT = "plumbline-load.service"
FOLDER = "/var/lib/plumbline-load"
SCRIPT, SUMMARY, LOG = (f"{FOLDER}/{name}" for name in ("ids.js", "summary.json", "failures.log"))
CA_FILE = "/etc/plumbline/ca.pem"
KEY_FILE = "/etc/plumbline/load.env"  # API_KEY=..., readable by root alone
STOP_TIMEOUT_S = 60
MOST_VUS = 500
MOST_FAILURES = 500
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_S = 24 * 3600


class LoadError(Exception):
    """The client host did not do it."""


class AlreadyRuns(LoadError):
    """A load run is under way on the client host."""


@dataclass(frozen=True)
class Wanted:
    """What to send: requests/s, for how long, and the versions to count apart."""

    rate: int = 600
    duration: str = "900s"
    versions: Sequence[str] = ()
    tags: Sequence[str] = field(default=("events", "orders"))

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= 10_000:
            raise BadRequest(f"rate: {self.rate} is not allowed; allowed: 1 to 10000 requests/s")
        found = _DURATION.fullmatch(self.duration)
        if not found or int(found[1]) * _SECONDS[found[2]] > LONGEST_S:
            raise BadRequest(
                f"duration: {self.duration!r} is not allowed; allowed: such as 900s or 15m, to 24h"
            )
        for version in self.versions:
            check_version(version)


@dataclass(frozen=True)
class Status:
    """`summary` is there once a run has ended; `failures` are the logged ones, newest last."""

    running: bool
    summary: LoadSummary | None
    failures: list[dict[str, object]]


class LoadClient:
    """The client host of an environment. Raises HostUnreachable when it doesn't answer."""

    def __init__(self, inventory: Inventory, run: Callable[..., Answer] = run_on) -> None:
        self._destination = destination(inventory)
        assert inventory.load is not None
        named = [host for host in inventory.hosts if host.name == inventory.load.client]
        if not named:
            raise BadRequest(f"load.client: {inventory.load.client!r} is not a host of the inventory")
        self._host = Host.from_inventory(named[0])
        self._run = run

    def start(self, wanted: Wanted) -> None:
        """Begin a run and see that it stays up. Raises AlreadyRuns or LoadError."""
        if self.running():
            raise AlreadyRuns(
                f"load already runs on {self._host.name}; stop it by: python -m release.load stop"
            )
        self._must(["mkdir", "-p", FOLDER])
        self._must(["rm", "-f", SUMMARY, LOG])
        script = (repo_root() / "tests" / "k6" / "ids.js").read_text()
        self._must(["sh", "-c", f"cat > {shlex.quote(SCRIPT)}"], stdin=script)
        self._must(self._command(wanted))
        time.sleep(1.0)
        if not self.running() and self._read(SUMMARY) is None:
            journal = self._run(self._host, ["journalctl", "-u", UNIT, "-n", "5", "-o", "cat", "--no-pager"])
            raise LoadError(f"k6 ended at once on {self._host.name}: {journal.stdout.strip()[-600:]}")

    def running(self) -> bool:
        """Whether a run is under way (or ending)."""
        state = self._run(self._host, ["systemctl", "is-active", UNIT]).stdout.strip()
        return state in ("active", "activating", "deactivating", "reloading")

    def stop(self) -> LoadSummary:
        """End the run gracefully, if one is under way, and return its counts. Raises LoadError without."""
        if self.running():
            self._must(["systemctl", "stop", UNIT], timeout_s=STOP_TIMEOUT_S + 10)
        summary = self._summary()
        if summary is None:
            raise LoadError(
                f"no counts on {self._host.name}: no load ran, or k6 was killed before it wrote them"
            )
        return summary

    def status(self) -> Status:
        """How the run is; counts come when it ends."""
        return Status(self.running(), self._summary(), self.failures())

    def failures(self) -> list[dict[str, object]]:
        """Requests that failed outside a fault: time, status, error, version. Bounded, newest last."""
        lines = (self._read(LOG) or "").splitlines()[-MOST_FAILURES:]
        found = []
        for line in lines:
            try:
                entry = json.loads(json.loads(line)["msg"])
            except (ValueError, KeyError, TypeError):
                continue  # k6's own messages
            if isinstance(entry, dict):
                found.append(entry)
        return found

    def _command(self, wanted: Wanted) -> list[str]:
        where = self._destination
        environment = {
            "TARGET": where.url,
            "RATE": str(wanted.rate),
            "DURATION": wanted.duration,
            "VERSIONS": ",".join(wanted.versions),
            "TAGS": ",".join(wanted.tags),
            "VUS": str(min(MOST_VUS, max(50, wanted.rate // 2))),
            "HOSTS": json.dumps({where.name: where.address}) if where.name != where.address else "{}",
            "SUMMARY": SUMMARY,
            "SSL_CERT_FILE": CA_FILE,
        }
        # SIGINT lets k6 finish what is in flight and write its counts.
        properties = ["KillSignal=SIGINT", "KillMode=mixed", f"TimeoutStopSec={STOP_TIMEOUT_S}"]
        properties += ["SuccessExitStatus=105", f"WorkingDirectory={FOLDER}", f"EnvironmentFile=-{KEY_FILE}"]
        return [
            "systemd-run", "--quiet", "--collect", f"--unit={UNIT}",
            *(f"--property={entry}" for entry in properties),
            *(f"--setenv={key}={value}" for key, value in environment.items()),
            "/usr/local/bin/k6", "run", "--quiet", "--no-color", "--no-usage-report",
            f"--local-ips={where.sources}", "--log-format=json", f"--log-output=file={LOG},level=error",
            SCRIPT,
        ]  # fmt: skip

    def _summary(self) -> LoadSummary | None:
        text = self._read(SUMMARY)
        if text is None:
            return None
        try:
            return LoadSummary.model_validate_json(text)
        except ValidationError as error:
            raise LoadError(f"{SUMMARY} on {self._host.name} can't be understood: {error}") from None

    def _read(self, path: str) -> str | None:
        answer = self._run(self._host, ["cat", path])
        return answer.stdout if answer.code == 0 and answer.stdout else None

    def _must(self, argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = 20.0) -> None:
        answer = self._run(self._host, argv, stdin=stdin, timeout_s=timeout_s)
        if answer.code != 0:
            raise LoadError(f"{Path(argv[0]).name} on {self._host.name}: {answer.complaint}")
