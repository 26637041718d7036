"""What the templates must say, whatever the values."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable
from types import ModuleType

import pytest

SERVERS = [{"name": "app1", "address": "198.18.0.21"}, {"name": "app2", "address": "198.18.0.22"}]
SLOT_PORTS = {"blue": 8001, "green": 8002}


@pytest.fixture
def haproxy(render: Callable[..., str]) -> str:
    return render("edge", "haproxy.cfg.j2", edge_servers=SERVERS, edge_rate_limit_per_ip=7)


def section(text: str, title: str) -> list[str]:
    """The lines of one HAProxy section."""
    found = re.search(rf"^{re.escape(title)}\n((?:[ #].*\n|\n)*)", text, re.MULTILINE)
    assert found, f"no section {title!r}"
    return [
        line.strip() for line in found[1].splitlines() if line.strip() and not line.strip().startswith("#")
    ]


def test_each_slot_has_every_app_host_on_its_own_port(haproxy: str) -> None:
    for slot, port in SLOT_PORTS.items():
        servers = [line for line in section(haproxy, f"backend {slot}") if line.startswith("server ")]
        assert servers == [f"server {s['name']} {s['address']}:{port}" for s in SERVERS]


def test_a_client_over_its_limit_is_refused_before_it_is_counted(haproxy: str) -> None:
    rules = section(haproxy, "frontend edge")
    deny = next(i for i, rule in enumerate(rules) if "deny_status 429" in rule or "status 429" in rule)
    track = next(i for i, rule in enumerate(rules) if "track-sc0" in rule)
    assert deny < track
    assert "table_http_req_rate(per_ip) ge 7" in rules[deny]
    assert "Retry-After" in rules[deny]


def test_the_limits_table_outlasts_its_period_and_takes_both_families(
    haproxy: str,
) -> None:
    [table] = section(haproxy, "backend per_ip")
    period = int(re.search(r"http_req_rate\((\d+)s\)", table)[1])  # type: ignore[index]
    assert int(re.search(r"expire (\d+)s", table)[1]) > period  # type: ignore[index]
    assert "type ipv6" in table


def test_a_share_is_drawn_from_as_many_as_edge_share_allows(
    haproxy: str, load: Callable[[str], ModuleType]
) -> None:
    edge_share = load("roles/edge/files/edge_share.py")
    assert f"rand({edge_share.FULL_BP}),sub(txn.share)" in haproxy
    assert f"map_str_int({edge_share.MAP},0)" in haproxy


def test_only_tls_1_3_is_offered(haproxy: str) -> None:
    assert "ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets" in section(haproxy, "global")
    binds = [line for line in haproxy.splitlines() if line.strip().startswith("bind :443")]
    assert binds and all(" ssl crt " in line and "ssl-min-ver" not in line for line in binds)


def test_a_request_is_tried_again_only_when_it_was_never_sent(haproxy: str) -> None:
    assert "retry-on conn-failure" in section(haproxy, "defaults")


def test_the_log_line_is_what_the_counting_program_reads(haproxy: str, render: Callable[..., str]) -> None:
    [written] = [line for line in section(haproxy, "frontend edge") if line.startswith("log-format")]
    line = written.removeprefix('log-format "').replace("%b", "green").replace("%ST", "200")
    line = line.replace("%ts", "--").replace("%Ta", "12")
    program = render("edge", "edge.mtail.j2")
    [pattern] = re.findall(r"^/(\^slot=.*)/ \{$", program, re.MULTILINE)
    found = re.match(pattern, line)
    assert found
    assert found.groupdict() == {"slot": "green", "status": "200", "end": "--", "ms": "12"}


def test_every_series_is_shown_from_the_start_and_counted_later(render: Callable[..., str]) -> None:
    program = render("edge", "edge.mtail.j2")
    start, counting = program.split("/^slot=")
    buckets = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2", "5", "10", "+Inf"]
    for slot in SLOT_PORTS:
        for le in buckets:
            assert f'edge_request_duration_seconds_bucket["{slot}"]["{le}"] += 0' in start
        for outcome in ("ok", "error"):
            assert f'edge_requests_total["{slot}"]["{outcome}"] += 0' in start
    limits = re.findall(r'\$ms <= (\d+) \{\n\s*\S+\[\$slot\]\["(.*)"\]', counting)
    assert [(float(ms) / 1000, le) for ms, le in limits] == [(float(le), le) for le in buckets[:-1]]


def unit(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


@pytest.mark.parametrize(
    "template", ["app@.service.j2", "app-worker@.service.j2", "app-downstream.service.j2"]
)
def test_the_app_runs_without_rights(render: Callable[..., str], template: str) -> None:
    service = unit(render("app", template, app_faults_allowed=False))["Service"]
    assert service["User"] == "app"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""


def test_a_failing_service_is_tried_for_ever(render: Callable[..., str]) -> None:
    for role, template in (
        ("app", "app@.service.j2"),
        ("app", "app-worker@.service.j2"),
        ("app", "app-downstream.service.j2"),
        ("edge", "mtail.service.j2"),
    ):
        parsed = unit(render(role, template, app_faults_allowed=False))
        assert parsed["Unit"]["StartLimitIntervalSec"] == "0", template
        assert "RestartSec" in parsed["Service"], template


def test_a_slot_has_an_export_worker_where_there_is_a_directory_for_exports(
    render: Callable[..., str],
) -> None:
    for directory, wanted in (("", False), ("/srv/exports", True)):
        slot = unit(render("app", "app@.service.j2", app_jobs_dir=directory))
        assert ("app-worker@%i.service" in slot["Unit"]["Wants"].split()) is wanted


def test_the_export_worker_goes_with_its_slot_and_writes_to_the_directory_alone(
    render: Callable[..., str],
) -> None:
    slot = unit(render("app", "app@.service.j2", app_jobs_dir="/srv/exports"))
    worker = unit(render("app", "app-worker@.service.j2", app_jobs_dir="/srv/exports"))
    assert worker["Unit"]["PartOf"] == "app@%i.service"
    assert "Install" not in worker, "its slot wants it; nothing else may start it"
    assert worker["Service"]["EnvironmentFile"] == slot["Service"]["EnvironmentFile"]
    assert worker["Unit"]["RequiresMountsFor"] == worker["Service"]["ReadWritePaths"] == "/srv/exports"
    for kind in ("RuntimeDirectory", "StateDirectory"):
        assert worker["Service"][kind] != slot["Service"][kind], kind


def test_load_comes_from_every_address_of_the_range(render: Callable[..., str]) -> None:
    text = render(
        "client",
        "load-sources.service.j2",
        client_sources="198.18.1.3-198.18.1.250",
        client_reaches="198.18.0.11",
    )
    assert "for last in {3..250}" in text
    assert "address replace 198.18.1.$last/32" in text
