"""Runs ON an app host, fed to its python3 by stdin: looks at both slots, or sends requests to one.

Standard library only, and no import of this project: the host has nothing of it.
Arguments: one JSON object {"action": "state"|"warm_up"|"smoke", "address", "ports": {slot: port},
"slot", "requests", "path"}. Prints one JSON object.
"""

import http.client
import json
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path("/opt/plumbline")
API_KEY = pathlib.Path("/etc/plumbline/api-key")


def call(address: str, port: int, method: str, path: str, timeout_s: float = 5.0) -> tuple[int, str | None]:
    """(status, version) of one request on its own connection, or (0, reason)."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if API_KEY.is_file():
            headers["Authorization"] = "Bearer " + API_KEY.read_text().strip()
        connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-Plumbline-Version")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def slot_state(address: str, slot: str, port: int) -> dict[str, Any]:
    """One slot: its unit, the release that its link names, and what answers on its port."""
    link = ROOT / "slots" / slot
    ask = ["systemctl", "is-active", "app@" + slot]
    unit = subprocess.run(ask, capture_output=True, text=True, check=False)
    status, version = call(address, port, "GET", "/readyz", timeout_s=2.0)
    return {
        "unit": unit.stdout.strip() or "unknown",
        "installed": link.resolve().name if link.is_symlink() else None,
        "answers": version if status else None,
        "ready": status == 200,
    }


def state(wanted: dict[str, Any]) -> dict[str, Any]:
    """This host's clock, free bytes where releases are kept, and both slots."""
    disk_of = next(p for p in (ROOT, *ROOT.parents) if p.exists())
    return {
        "clock": time.time(),
        "disk_free": shutil.disk_usage(disk_of).free,
        "slots": {slot: slot_state(wanted["address"], slot, port) for slot, port in wanted["ports"].items()},
    }


def send(wanted: dict[str, Any]) -> dict[str, Any]:
    """Outcome of each request: how often each (status, version) came."""
    port = wanted["ports"][wanted["slot"]]
    answers = [call(wanted["address"], port, "POST", wanted["path"]) for _ in range(wanted["requests"])]
    return {"ready": call(wanted["address"], port, "GET", "/readyz"), "answers": answers}


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(state(request) if request["action"] == "state" else send(request)))
