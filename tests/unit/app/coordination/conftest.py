"""Fleets of simulated processes."""

import pytest

from tests.unit.app.coordination.processes import Fleet, Process


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(free=range(256))


@pytest.fixture
def process(fleet, tmp_path):
    """process(host="a", **arguments of WorkerLease): a new one that holds nothing yet."""

    def new(host: str = "a", **more) -> Process:
        return Process(fleet, tmp_path / host, **more)

    return new
