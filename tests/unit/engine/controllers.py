"""A controller in one process: the playbooks' phases in their order, on a simulated fleet."""

import os
import subprocess
import sys

from release.engine import ending
from release.engine.phases import Phases
from release.engine.site import Site
from release.engine.store import Releases
from release.targets.simulated import Behaviour, SimulatedFleet

PROFILE = """
name: quick
description: three steps on a simulated fleet
alpha: 0.01
health_alpha: 0.01
steps:
  - {name: canary, share: 10, interval_s: 2, gates: &gates [
      {name: errors, sli: errors, kind: absolute, threshold: 0.01},
      {name: slow, sli: slow, kind: absolute, threshold: 0.01, slower_than_s: 2},
      {name: errors_to_control, sli: errors, kind: relative, threshold: 2}]}
  - {name: half, share: 50, interval_s: 2, gates: *gates}
  - {name: full, share: 100, interval_s: 2, gates: [
      {name: errors, sli: errors, kind: absolute, threshold: 0.01}]}
"""


class Killed(BaseException):
    """kill -9."""


class FleetClock:
    """The fleet's time: sleeping lets its requests happen."""

    def __init__(self, fleet):
        self.fleet = fleet

    def now(self):
        return self.fleet.now

    def sleep(self, seconds):
        if seconds > 0:
            self.fleet.advance(seconds)


class World:
    """1.0.0 serves from blue, with traffic; `bad` versions fail 20 % of their requests."""

    def __init__(self, folder, monkeypatch, bad=(), serving="1.0.0"):
        self.profile = folder / "quick.yml"
        self.profile.write_text(PROFILE)
        self.fleet = SimulatedFleet(behaviours={version: Behaviour(errors=0.2) for version in bad})
        if serving:
            self.fleet.install("blue", serving)
            self.fleet.effects.clear()
            for _ in range(40):
                self.fleet.advance(1.0)
        self.site = Site(
            name="dev-test",
            root=folder,
            state=folder / "state",
            results=folder / "results",
            fleet=self.fleet,
            source=self.fleet.metrics,
            releases=Releases(folder / "state"),
            faults_allowed=True,
        )
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            bundle = self.site.state / "bundles" / f"plumbline-app-{version}.tar.gz"
            bundle.parent.mkdir(exist_ok=True)
            bundle.write_bytes(version.encode())
        self.said = []
        self.reports = []
        # A report takes a second to draw; here it is enough that it was asked for.
        monkeypatch.setattr(ending, "report", self._report)
        self._processes = []

    def _report(self, site, session):
        self.reports.append(session.progress.outcome)
        site.releases.mark_reported(session.release_id, session.progress.outcome is not None)
        return site.results / session.release_id

    def controller(self, pid=None):
        """Phases as one ansible-playbook would run them, in the name of a process that lives."""
        return Phases(self.site, pid or os.getpid(), self.said.append, FleetClock(self.fleet))

    def other_process(self):
        """A process that lives until `bury`."""
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self._processes.append(process)
        return process

    def bury(self):
        """End the processes that this made."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def release(self, version="1.1.0", stage="all", pid=None, config=""):
        """What release.yml does. Gives the outcome; raises what a phase raises."""
        phases = self.controller(pid)
        release = phases.begin(stage, version, str(self.profile), config)
        phases.preflight(release["id"])
        if release["install"]:
            self.fleet.install(release["slot"], version)
        phases.installed(release["id"], {})
        phases.steps(release["id"], release["stage"])
        phases.verify(release["id"])
        return phases.finish(release["id"])["outcome"]

    def rollback(self, pid=None):
        """What rollback.yml does."""
        phases = self.controller(pid)
        release = phases.rollback("")
        phases.verify(release["id"])
        return phases.finish(release["id"], asked_back=True)["outcome"]

    def types(self):
        """What the newest journal says happened, in order."""
        newest = self.site.releases.latest()
        journal = self.site.releases.journal_path(newest).read_text().splitlines()
        import json

        return [json.loads(line)["type"] for line in journal]

    def shares_set(self):
        return [effect for effect in self.fleet.effects if effect[0] == "share"]
