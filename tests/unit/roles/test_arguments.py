"""Each role says what it takes, once, and its README says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import role_docs

ROLES = sorted(path.parent.parent for path in role_docs.ROLES.glob("*/meta/argument_specs.yml"))


def options(role: Path) -> dict[str, dict[str, Any]]:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec["options"].items()}


def defaults(role: Path) -> dict[str, Any]:
    return yaml.safe_load((role / "defaults/main.yml").read_text())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestArguments:
    def test_every_default_is_declared_and_only_required_options_have_none(self, role: Path) -> None:
        declared = options(role)
        optional = {name for name, option in declared.items() if not option.get("required")}
        assert set(defaults(role)) == optional

    def test_declared_defaults_are_the_defaults(self, role: Path) -> None:
        given = defaults(role)
        for name, option in options(role).items():
            if "default" in option:
                assert option["default"] == given[name], name

    def test_a_secret_has_no_declared_default_that_an_error_could_show(self, role: Path) -> None:
        assert [
            n for n, option in options(role).items() if option.get("no_log") and "default" in option
        ] == []

    def test_variables_carry_the_name_of_their_role(self, role: Path) -> None:
        assert [name for name in defaults(role) if not name.startswith(f"{role.name}_")] == []

    def test_the_readme_is_made_from_the_arguments(self, role: Path) -> None:
        assert (role / "README.md").read_text() == role_docs.readme(role)


def test_there_are_roles() -> None:
    assert {role.name for role in ROLES} == {"app", "client", "common", "edge", "tls"}
