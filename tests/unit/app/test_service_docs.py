"""What docs/service.md and its neighbours say is so: settings, chains, problems, metrics, examples, links."""

import json
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from flask import Flask
from pydantic_core import PydanticUndefined

from app.coordination import config_keys
from app.faults.config import MODES
from app.ids.router import chain_for
from app.migrate import cli as migrate
from app.move import cli as move
from app.server.api import faults
from app.server.problem_kinds import KINDS
from app.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
SERVICE = (ROOT / "docs/service.md").read_text()
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
OTHERS = {"CONFIG", "BOOTSTRAP_KEY_SHA256", "DOWNSTREAM_BIND"}
"""Variables of tools beside the service."""


def row(name):
    """The beginning of a setting's row, up to its meaning."""
    field = Settings.model_fields[name]
    if field.default is PydanticUndefined:
        default = "required"
    else:
        default = "" if field.default is None else f"`{_text(field.default)}`"
    if get_origin(field.annotation) is Literal:
        allowed = ", ".join(f"`{value}`" for value in get_args(field.annotation))
    else:
        told = {key: getattr(one, key) for one in field.metadata for key, _ in BOUNDS if hasattr(one, key)}
        allowed = ", ".join(f"{sign} {told[key]:g}" for key, sign in BOUNDS if key in told)
        if field.annotation is bool:
            allowed = "`true`, `false`"
    return f"| `{PREFIX}{name.upper()}` | {default} | {allowed} | "


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def rows(heading):
    """The rows of the table that begins with this heading, as lists of cells."""
    lines = SERVICE.partition(f"{heading}\n")[2].splitlines()[1:]
    table = lines[: next(at for at, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_has_a_row_with_its_default_and_what_is_allowed(name):
    found = [line for line in SERVICE.splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}` |")]
    assert len(found) == 1
    assert found[0].startswith(row(name))
    assert found[0].removeprefix(row(name)).strip(" |"), "it has a meaning"


def test_the_page_names_no_setting_that_does_not_exist():
    known = {name.upper() for name in Settings.model_fields} | OTHERS
    assert set(re.findall(rf"{PREFIX}([A-Z0-9_]+)", SERVICE)) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_problem_that_a_page_names_is_one(page):
    assert set(re.findall(r"/problems/([a-z0-9-]+)", page.read_text())) <= set(KINDS)


def test_each_problem_stands_with_its_status():
    found = re.findall(r"(\d{3}) `/problems/([a-z0-9-]+)`", SERVICE)
    assert found
    assert [slug for status, slug in found if int(status) != KINDS[slug].status] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    files = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in files if not (page.parent / link).exists()] == []


def test_the_chains_are_those_of_the_router():
    told = {}
    for algorithm, formats, chain in rows("| Own algorithm | `format` | Chain |"):
        for format_ in formats.split(", "):
            told[algorithm.strip("`"), format_.strip("`")] = tuple(chain.split(", "))
    real = {}
    for algorithm in ("segment", "snowflake", "uuid7", "uuid4"):
        for format_ in ("any", "string", "int64", "uuid"):
            try:
                real[algorithm, format_] = chain_for(algorithm, format_)
            except ValueError:
                continue  # the two don't fit
    assert told == real


def test_each_metric_is_one_of_the_list_of_metrics():
    metrics = (ROOT / "docs/metrics.md").read_text()
    named = set(re.findall(r"`(idgen_[a-z_]+)", SERVICE))
    assert named
    assert [name for name in named if f"| `{name}` |" not in metrics] == []


def test_configuration_in_etcd_is_as_the_service_reads_it():
    place, value = re.search(r"etcdctl put (\S+) '(.+)'", SERVICE).groups()
    assert config_keys.Place.of(place).tag == "orders"
    assert config_keys.parse(value) == json.loads(value)


def test_the_faults_are_as_the_service_takes_them():
    api = Flask("docs")
    api.register_blueprint(faults.blueprint(None, lambda: None))
    paths = api.url_map.bind("here")
    bodies = re.findall(r"-d '(.+)'", SERVICE)
    assert len(bodies) == 2
    for body in bodies:
        faults.WantedFaults.model_validate_json(body, strict=True)
    for method in ("GET", "PUT", "DELETE"):
        assert paths.match("/v1/faults", method)
    told = {kind.strip("`"): modes for kind, modes, _ in rows("| Kind | Modes | What really happens |")}
    assert {kind: set(re.findall(r"\w+", modes)) for kind, modes in told.items()} == {
        kind: set(modes) for kind, modes in MODES.items()
    }


def test_the_example_of_a_check_finds_it_safe(capsys):
    check = re.search(r"python -m app\.migrate (check[^#\n]*)", SERVICE)[1].split()
    assert migrate.main(check) == migrate.DONE
    assert capsys.readouterr().out.startswith("safe: ")


def test_the_examples_of_a_move_are_understood():
    examples = re.findall(r"python -m app\.move ([^`\n]*)$", SERVICE, re.MULTILINE)
    assert [move._parser().parse_args(one.split()).dry_run for one in examples] == [True, False]
