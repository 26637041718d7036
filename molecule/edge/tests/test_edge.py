"""What the edge promises, seen from outside."""

from __future__ import annotations

import hashlib
import json
import math
import os
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from infra import paths

SetShare = Callable[[int], None]


def test_tls_1_3_answers_with_a_certificate_of_the_internal_ca(site: Any) -> None:
    assert site.connect(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_tls_1_2_is_refused(site: Any) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version|handshake"):
        site.connect(ssl.TLSVersion.TLSv1_2)


def test_http_is_sent_on_to_https_and_https_asks_for_itself(site: Any) -> None:
    plain = site.edge.check_output("curl -sSi http://127.0.0.1/x?y=1").lower()
    assert plain.startswith("http/1.1 308")
    assert "location: https://127.0.0.1/x?y=1" in plain
    secure = site.edge.check_output(
        "curl -sSi --cacert /etc/plumbline/ca.pem https://edge.plumbline.internal/healthz"
    ).lower()
    assert "strict-transport-security: max-age=63072000" in secure
    assert "x-plumbline-edge: edge1" in secure


def test_a_client_over_its_limit_gets_429_and_its_limit_and_another_gets_all(site: Any) -> None:
    limit = site.inventory.policy.rate_limit_per_ip
    loud: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: loud.update(site.requests(12 * limit, sources=[1] * 12)))
    thread.start()
    quiet = site.requests(4 * limit // 5, sources=range(2, 3), seconds=4)
    thread.join()
    assert set(quiet["statuses"]) == {"200"}
    assert loud["statuses"]["429"] > 0
    # A client above its limit still gets about its limit, not nothing.
    assert loud["statuses"]["200"] >= 0.5 * limit * loud["took"]
    assert loud["statuses"]["200"] <= 1.2 * limit * (loud["took"] + 1)
    assert loud["sample_429"]["headers"]["retry-after"] == "1"
    assert loud["sample_429"]["headers"]["x-plumbline-edge"] == "edge1"
    assert json.loads(loud["sample_429"]["body"])["error"] == "rate_limited"


@pytest.mark.parametrize(("green_bp", "only"), [(0, "blue"), (10_000, "green")])
def test_none_and_all_are_exact(site: Any, set_share: SetShare, green_bp: int, only: str) -> None:
    set_share(green_bp)
    answers = site.requests(500, sources=range(1, 251))
    assert answers["statuses"] == {"200": 500}
    assert answers["slots"] == {only: 500}


def test_a_tenth_is_a_tenth(site: Any, set_share: SetShare) -> None:
    set_share(1000)
    answers = site.requests(5000, sources=range(1, 251))
    assert answers["statuses"] == {"200": 5000}
    sigma = math.sqrt(5000 * 0.1 * 0.9)
    # Four standard deviations: a right edge fails this once in sixteen thousand runs.
    assert abs(answers["slots"]["green"] - 500) <= 4 * sigma


def test_every_request_is_counted_for_its_slot(site: Any, set_share: SetShare) -> None:
    set_share(5000)
    before = site.counted()
    answers = site.requests(1000, sources=range(1, 251))
    time.sleep(1)
    after = site.counted()
    for slot in ("blue", "green"):
        assert after[slot, "ok"] - before[slot, "ok"] == answers["slots"][slot]
        assert after[slot, "error"] == before[slot, "error"]


def test_a_share_survives_a_restart(site: Any, set_share: SetShare) -> None:
    set_share(2500)
    site.edge.check_output("systemctl restart haproxy")
    assert site.share("get")[1]["green_bp"] == 2500


def test_a_share_survives_a_converge(site: Any, set_share: SetShare) -> None:
    set_share(2500)
    command = ["ansible-playbook", "-i", "inventory/dev.yml", "site.yml", "--limit", "edge"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(paths.repo_root() / "ansible.cfg")}
    done = subprocess.run(
        command, cwd=paths.repo_root(), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert site.share("get")[1]["green_bp"] == 2500


def test_a_share_set_right_after_a_reload_began_is_the_new_processs_too(site: Any) -> None:
    token = site.share("get")[1]["token"]
    for green_bp in (10, 20, 30, 40, 0):
        change = f"edge-share set --green-bp {green_bp} --token {token}"
        both = f"systemctl reload haproxy; {change}; sleep 1; edge-share get"
        lines = site.edge.check_output(both).splitlines()
        assert [json.loads(line) for line in lines] == [{"green_bp": green_bp, "token": token}] * 2


def test_a_lower_token_is_refused_and_changes_nothing(site: Any) -> None:
    before = site.share("get")[1]
    code, answer = site.share("set", "--green-bp 1000", f"--token {before['token'] + 2}")
    assert code == 0
    code, answer = site.share("set", "--green-bp 5000", f"--token {before['token'] + 1}")
    assert (code, answer["token"]) == (5, before["token"] + 2)
    assert site.share("get")[1] == {"green_bp": 1000, "token": before["token"] + 2}
    site.share("set", "--green-bp 0", f"--token {before['token'] + 2}")


@pytest.mark.parametrize("value", ["-1", "10001", "1.5", "all"])
def test_a_share_out_of_range_is_refused_by_name(site: Any, value: str) -> None:
    before = site.share("get")[1]
    code, answer = site.share("set", f"--green-bp {value}", "--token 9999999")
    assert code == 2
    assert "--green-bp" in answer["error"] and value in answer["error"]
    assert site.share("get")[1] == before


def test_a_reload_and_a_change_of_share_lose_no_request(site: Any, set_share: SetShare) -> None:
    answers: dict[str, Any] = {}
    thread = threading.Thread(
        target=lambda: answers.update(site.requests(1600, sources=range(1, 17), seconds=10))
    )
    thread.start()
    for green_bp in (10_000, 5000, 0):
        time.sleep(2)
        site.edge.check_output("systemctl reload haproxy")
        set_share(green_bp)
    thread.join()
    assert answers["statuses"] == {"200": 1600}


def test_a_slot_without_a_server_answers_503_counted_as_its_error(site: Any, set_share: SetShare) -> None:
    try:
        for app in site.apps.values():
            app.check_output("systemctl stop app@green")
        deadline = time.monotonic() + 20
        while "UP" in site.share("servers")[1]["green"].values():
            assert time.monotonic() < deadline, "HAProxy still takes a stopped slot for healthy"
            time.sleep(0.5)
        before = site.counted()
        set_share(10_000)
        answers = site.requests(20, sources=range(1, 11))
        time.sleep(1)
        assert answers["statuses"] == {"503": 20}
        assert site.counted()["green", "error"] - before["green", "error"] == 20
    finally:
        for app in site.apps.values():
            app.check_output("systemctl start app@green")
    deadline = time.monotonic() + 60
    while set(site.share("servers")[1]["green"].values()) != {"UP"}:
        assert time.monotonic() < deadline, "green did not come back"
        time.sleep(0.5)


def test_only_root_reaches_the_admin_sockets_and_the_key(site: Any) -> None:
    for path in ("/run/haproxy/admin.sock", "/etc/haproxy/edge.pem"):
        assert (site.edge.file(path).user, site.edge.file(path).mode) == ("root", 0o600), path
    master = site.edge.file("/run/haproxy-master.sock")
    assert (master.user, master.mode & 0o022) == ("root", 0), "connecting needs the right to write"


def test_haproxys_own_exporter_answers(site: Any) -> None:
    text = site.edge.check_output("curl -sS http://127.0.0.1:8404/metrics")
    for slot in ("blue", "green"):
        assert f'haproxy_backend_status{{proxy="{slot}"' in text


def test_the_policy_service_runs_beside_the_slots_without_rights(site: Any) -> None:
    for name, app in site.apps.items():
        for unit in ("app@blue", "app@green", "app-downstream"):
            assert app.service(unit).is_running, f"{name}: {unit}"
            rating = f"systemd-analyze security --no-pager --threshold=20 {unit}.service"
            assert app.run(rating).rc == 0, f"{name}: {unit} has more rights than it needs"
        assert app.check_output("systemctl --failed --plain --no-legend") == "", name


def test_only_a_host_with_a_directory_for_exports_offers_them(site: Any) -> None:
    offering, *others = site.apps
    for name, app in site.apps.items():
        for slot in ("blue", "green"):
            assert app.service(f"app-worker@{slot}").is_running is (name == offering), f"{name}: {slot}"
    rating = "systemd-analyze security --no-pager --threshold=20 app-worker@blue.service"
    assert site.apps[offering].run(rating).rc == 0
    for name in others:
        assert site.ask(name, "/v1/exports", {"tag": "orders", "count": 1})[0] == 404, name


def test_an_export_is_made_beside_the_slot_that_was_asked(site: Any) -> None:
    name = next(iter(site.apps))
    status, answer = site.ask(name, "/v1/exports", {"tag": "orders", "count": 120_000, "format": "octets"})
    assert status == 202, answer
    export = json.loads(answer)
    deadline = time.monotonic() + 60
    while export["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, f"no worker made the export: {export}"
        time.sleep(0.5)
        export = json.loads(site.ask(name, f"/v1/exports/{export['id']}")[1])
    assert export["state"] == "done", export
    for port in (8001, 8002):
        status, content = site.ask(name, export["content"], port=port)
        assert (status, len(content)) == (200, 8 * 120_000)
        assert hashlib.sha256(content).hexdigest() == export["sha256"]


def test_the_export_worker_stops_starts_and_restarts_with_its_slot(site: Any) -> None:
    app = next(iter(site.apps.values()))

    def worker(slot: str) -> str:
        state = f"systemctl show --property=ActiveState,MainPID --value app-worker@{slot}"
        return " ".join(sorted(app.check_output(state).split()))

    def becomes(wanted: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 30
        while not wanted(found := worker("green")):
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        return found

    blue = worker("blue")
    try:
        app.check_output("systemctl stop app@green")
        becomes(lambda state: state == "0 inactive")
    finally:
        app.check_output("systemctl start app@green")
    started = becomes(lambda state: state.endswith(" active"))
    app.check_output("systemctl restart app@green")
    becomes(lambda state: state.endswith(" active") and state != started)
    assert worker("blue") == blue, "the other slot's worker is left alone"


def test_the_database_password_is_in_no_file_that_others_can_read(site: Any) -> None:
    for app in site.apps.values():
        file = app.file("/etc/plumbline/app-blue.env")
        assert (file.user, file.group, file.mode) == ("root", "app", 0o640)


def test_each_slot_says_its_version(site: Any) -> None:
    for slot, port, version in (("blue", 8001, "1.0.0"), ("green", 8002, "1.1.0")):
        for host in site.inventory.in_group("app"):
            url = f"http://{host.address}:{port}/healthz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.headers["X-Plumbline-Version"] == version
                assert answer.headers["X-Plumbline-Slot"] == slot
