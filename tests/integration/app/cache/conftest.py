import pytest

from tests.integration.app.cache.farm import Farm

# One Postgres for the folder, a database of its own for each test.
from tests.integration.app.storage.conftest import engine, migrated, server, url  # noqa: F401


@pytest.fixture
def farm():
    """A container for Redis servers, removed after the test whatever happens."""
    made = Farm()
    yield made
    made.remove()
