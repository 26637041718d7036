import pytest

from tests.integration.app.cache.farm import Farm


@pytest.fixture
def farm():
    """A container for Redis servers, removed after the test whatever happens."""
    made = Farm()
    yield made
    made.remove()
