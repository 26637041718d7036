"""A collector for traces."""

import pytest

from tests.unit.app.observing.collector import Collector


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()
