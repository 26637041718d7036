"""Reading outputs from the state files: fragments are merged, secrets are masked, other versions refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra import inventory, outputs
from infra.backend import Backend
from infra.config import LAYERS

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setenv("PLUMBLINE_STATE", str(tmp_path))
    return Backend("dev", "unit", "bundled")


def write(backend: Backend, layer: Any, values: dict[str, Any]) -> None:
    path = backend.checkpoint(layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    resources = [{"type": "pulumi:pulumi:Stack", "outputs": values}]
    path.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {"resources": resources}}}))


def fragment(version: int = 1) -> dict[str, Any]:
    return {"schema_version": version, "environment": "dev", "instance": "unit"}


def test_a_secret_output_is_never_among_the_plain_ones(backend: Backend) -> None:
    write(backend, "data", {"ansible_inventory": fragment(), "postgres_password": SECRET, "nested": [SECRET]})
    found = outputs.read(backend)["data"]
    assert set(found.plain) == {"ansible_inventory"}
    assert found.secret_names == ["nested", "postgres_password"]
    assert found.secrets == {}


def test_a_stack_of_another_schema_version_is_refused_naming_the_stack(backend: Backend) -> None:
    write(backend, "foundation", {"ansible_inventory": fragment()})
    write(backend, "data", {"ansible_inventory": fragment(version=2)})
    with pytest.raises(inventory.InventoryError, match=r"data: .*schema_version is 2; allowed: 1"):
        outputs.read_inventory(outputs.read(backend))


def test_an_environment_that_is_not_up_has_no_inventory(backend: Backend) -> None:
    assert outputs.read(backend, LAYERS) == {}
    with pytest.raises(inventory.InventoryError, match="no stack has this output"):
        outputs.read_inventory({})
