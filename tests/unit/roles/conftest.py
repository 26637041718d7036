"""Roles' templates and modules without hosts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "roles"


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Import a Python file of the checkout that is no part of a package."""

    def by_path(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return by_path


@pytest.fixture(scope="session")
def render() -> Callable[..., str]:
    """Render a role's template with its literal defaults and the values given."""

    def rendered(role: str, template: str, **values: Any) -> str:
        loader = jinja2.FileSystemLoader(ROLES / role / "templates")
        environment = jinja2.Environment(
            loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
        )
        context: dict[str, Any] = {"ansible_managed": "managed", "inventory_hostname": "edge1"}
        for source in ("defaults", "vars"):
            path = ROLES / role / source / "main.yml"
            context |= yaml.safe_load(path.read_text()) if path.exists() else {}
        return environment.get_template(template).render(context | values)

    return rendered
