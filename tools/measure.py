"""Time what a running environment costs when there is nothing to do.

`python -m tools.measure [dev]` runs `infra up` and `site.yml` on an environment that is up and configured,
and writes results/measure/platform.json: seconds of each, hosts, module executions a host, hosts changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from infra import paths

TARGETS_S = {"infra_up": 20.0, "site": 90.0}


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Seconds that a command took. Raises CalledProcessError when it failed."""
    started = time.monotonic()
    subprocess.run(
        command,
        cwd=paths.repo_root(),
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    return round(time.monotonic() - started, 1)


def measure(env: str) -> dict[str, object]:
    """All figures of one run."""
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PLUMBLINE_ENV": env, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    up = timed([sys.executable, "-m", "infra", "up", env], environment)
    site = timed(["ansible-playbook", "site.yml"], environment)
    run = json.loads((paths.repo_root() / "results" / "site.json").read_text())
    return {
        "infra_up_s": up,
        "site_s": site,
        "hosts": len(run["hosts"]) - ("localhost" in run["hosts"]),
        "changed": sum(host["changed"] for host in run["hosts"].values()),
        "module_executions": run["module_executions"],
        "cores": os.cpu_count(),
        "targets_s": TARGETS_S,
    }


def main() -> int:
    """Exit codes: 0 measured and within the targets, 1 measured and not, or a command failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.measure", description=__doc__)
    parser.add_argument("env", nargs="?", default="dev")
    found = measure(parser.parse_args().env)
    out = paths.repo_root() / "results" / "measure" / "platform.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    well = found["infra_up_s"] <= TARGETS_S["infra_up"] and found["site_s"] <= TARGETS_S["site"]  # type: ignore[operator]
    return 0 if well and found["changed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
