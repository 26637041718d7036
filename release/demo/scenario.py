"""What the demo does, in order. Every claim that it prints comes from a report or from the load's counts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import paths
from release.demo.stages import StageFailed, Stages, everything, without_noise
from release.engine.progress import Progress
from release.engine.request import ensure_bundle
from release.engine.serving import what_serves
from release.engine.session import ReleaseFailed
from release.engine.site import of_environment
from release.engine.store import Releases

RATE = 500
#: The load stops by itself after this, should the demo be killed.
LOAD_FOR = "20m"
#: Load before the first release under it: the baseline window must lie in it whole, in seconds.
STEADY_S = 35.0
GOOD_ONE, GOOD, BAD = "1.0.0", "1.1.0", "1.2.0"
#: The bad version: the same code, whose policy service is slow for some requests and fails for others.
FAULTS = [
    {"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 2.5},
    {"kind": "dependency", "mode": "error", "share": 0.1},
]


@dataclass
class Demo:
    """One run. `python` and `ansible` are the commands of the virtual environment."""

    env: str
    instance: str
    stages: Stages
    python: str
    ansible: str
    setup_s: float = 0.0
    reports: dict[str, Path] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """The whole; gives the summary. Raises StageFailed."""
        started = time.monotonic()
        self._provision()
        with self.stages.stage("configure", "Configure: hosts become edge, app and client"):
            self.stages.run([self.ansible, "site.yml"], "site")
        left = self._left_open()
        if left is not None and left.previous is None:
            with self.stages.stage("release", f"Finish the release of {left.version}, which was interrupted"):
                self._release(left.version)
            left = None
        first = left is None and not self._serving()
        if first:
            with self.stages.stage("release", f"Release {GOOD_ONE}: the first, it gets all traffic at once"):
                self._release(GOOD_ONE)
        load = self._with_load(first, left)
        total = self.setup_s + time.monotonic() - started
        return self._summary(load, total)

    def _provision(self) -> None:
        """Hosts and services, and beside it the three bundles, which need other hands."""
        title = "Provision: network, hosts, Postgres, Redis, etcd, Prometheus"
        with self.stages.stage("provision", title), ThreadPoolExecutor(max_workers=1) as pool:
            bundles = pool.submit(self._bundles)
            self.stages.run([self.python, "-m", "infra", "up", self.env], "up", show=everything)
            bundles.result()

    def _bundles(self) -> None:
        state = paths.state_dir(self.env, self.instance)
        for version in (GOOD_ONE, GOOD, BAD):
            ensure_bundle(state, version, self.stages.root)

    def _left_open(self) -> Progress | None:
        """The release that an interrupted demo left open."""
        releases = Releases(paths.state_dir(self.env, self.instance))
        newest = releases.latest()
        found = None if newest is None else releases.look(newest)
        return found if found is not None and found.open else None

    def _serving(self) -> bool:
        """Whether a release serves already, as after an earlier demo."""
        try:
            return what_serves(of_environment(self.env, self.instance).fleet).version is not None
        except ReleaseFailed as error:
            raise StageFailed(f"the platform is in the middle of something: {error}") from None

    def _with_load(self, first: bool, left: Progress | None) -> dict[str, Any]:
        """The releases under constant load. The load's own counts come back, whatever happens."""
        versions = ",".join((GOOD_ONE, GOOD, BAD))
        load = [self.python, "-m", "release.load"]
        with self.stages.stage(
            "release", f"Load: {RATE} requests/s from the client host, from now to the end"
        ):
            self.stages.run([*load, "stop", self.env], "load-stop-earlier", allowed=(0, 1))
            start = ["start", self.env, "--rate", str(RATE), "--duration", LOAD_FOR, "--versions", versions]
            self.stages.run([*load, *start], "load-start", show=everything)
            time.sleep(STEADY_S)
        counts = self.stages.logs / "load.json"
        try:
            if left is not None:
                with self.stages.stage("release", f"Roll back {left.version}, which was left open"):
                    self.stages.run([self.ansible, "rollback.yml"], "rollback", show=without_noise)
            if not first:
                with self.stages.stage("release", f"Release {GOOD_ONE} again, over what serves from before"):
                    self._release(GOOD_ONE)
            with self.stages.stage("release", f"Release {GOOD}: healthy, so it should stay"):
                self._release(GOOD)
            with self.stages.stage("release", f"Release {BAD}: its dependency is slow and fails, on purpose"):
                self._release(BAD, FAULTS)
        finally:
            self.stages.run([*load, "stop", self.env, "--out", str(counts)], "load-stop", allowed=(0, 1))
        found: dict[str, Any] = json.loads(counts.read_text())
        return found

    def _release(self, version: str, faults: list[dict[str, Any]] | None = None) -> None:
        """One release, to its end. Exit code 2: it was not promoted, and its report says why."""
        command = [
            self.ansible,
            "release.yml",
            "-e",
            "stage=all",
            "-e",
            f"version={version}",
            "-e",
            "profile=demo",
        ]
        if faults:
            config = self.stages.logs / f"release-{version}.json"
            config.write_text(json.dumps({"faults": faults}, indent=2) + "\n")
            command += ["-e", f"release_config={config}"]
        self.stages.run(command, f"release-{version}", show=without_noise, allowed=(0, 2))
        releases = Releases(paths.state_dir(self.env, self.instance))
        newest = releases.latest()
        if newest is None or not newest.endswith(f"-{version}"):
            raise StageFailed(
                f"release {version} didn't begin (log: {self.stages.logs}/release-{version}.log)"
            )
        self.reports[version] = self.stages.root / "results" / newest

    def _summary(self, load: Mapping[str, Any], total: float) -> dict[str, Any]:
        seconds = {
            name: round(self.stages.seconds.get(name, 0.0), 1)
            for name in ("provision", "configure", "release")
        }
        return {
            "timings_s": {"setup": round(self.setup_s, 1), **seconds, "total": round(total, 1)},
            "releases": [_of_report(folder) for folder in self.reports.values()],
            "load": {key: load[key] for key in ("requests", "failed", "failed_outside_fault", "not_sent")},
        }


def _of_report(folder: Path) -> dict[str, Any]:
    """One release as its own report has it."""
    found = json.loads((folder / "summary.json").read_text())
    stages = [
        {key: stage[key] for key in ("name", "share", "samples", "decision")} for stage in found["stages"]
    ]
    kept = ("version", "outcome", "detection_s", "rollback_s", "verified")
    return {**{key: found[key] for key in kept}, "stages": stages}


def broken_promises(summary: Mapping[str, Any]) -> list[str]:
    """What isn't as the demo promises; empty when everything is."""
    found = {release["version"]: release for release in summary["releases"]}
    broken = []
    if found.get(GOOD, {}).get("outcome") != "promoted":
        broken.append(
            f"{GOOD} is healthy and should be promoted, but ended {found.get(GOOD, {}).get('outcome')}"
        )
    bad = found.get(BAD, {})
    if (bad.get("outcome"), bad.get("verified")) != ("rolled_back", True):
        broken.append(f"{BAD} should be rolled back and verified, but ended {bad.get('outcome')}")
    if bad.get("rollback_s") is not None and bad["rollback_s"] > 2.0:
        broken.append(
            f"the rollback took {bad['rollback_s']:.2f} s from decision to 0 %, at most 2 s promised"
        )
    if lost := summary["load"]["failed_outside_fault"]:
        broken.append(f"{lost} requests failed outside the injected fault, 0 promised")
    return broken
