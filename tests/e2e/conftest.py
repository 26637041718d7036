"""One platform for all end-to-end tests, under constant load, removed at the end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import RATE, Platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("state"))
    try:
        made.python("infra", "up", "dev")
        made.run("ansible-playbook", "site.yml")
        yield made
    finally:
        made.stop_all()
        made.python("infra", "destroy", "dev", code=None)


@pytest.fixture(scope="session")
def serving(platform: Platform) -> Iterator[Platform]:
    """1.0.0 serves, and the client host sends requests until all tests are done; none may be lost."""
    platform.release("1.0.0")
    versions = "1.0.0,1.1.0,1.2.0,1.3.0,1.4.0"
    platform.python(
        "release.load", "start", "dev", "--rate", str(RATE), "--duration", "30m", "--versions", versions
    )
    out = Path(platform.folder) / "load.json"
    yield platform
    platform.python("release.load", "stop", "dev", "--out", str(out), code=None)
    counts = json.loads(out.read_text())
    assert counts["requests"] > 10_000
    assert counts["failed_outside_fault"] == 0, counts
