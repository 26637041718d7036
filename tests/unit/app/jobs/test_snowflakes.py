"""A worker process's snowflakes, over a lease that is told what to do."""

import time
from types import SimpleNamespace

import pytest

from app.coordination.tenure import NotHeldError
from app.jobs.snowflakes import Snowflakes
from app.tag_config import TagConfig


class Lease:
    datacenter = 3

    def __init__(self) -> None:
        self.worker, self.fails, self.started, self.released = 7, None, 0, []
        self.tenure = self._tenure()

    def _tenure(self):
        return SimpleNamespace(
            worker=self.worker, usable=lambda: True, used_until_ms=0, reserve=lambda ms: ms + 1_000
        )

    def move_to(self, worker):
        self.worker = worker
        self.tenure = self._tenure()

    def acquire(self):
        if self.fails:
            raise self.fails
        return self.tenure

    def start(self):
        self.started += 1

    def release(self, last_ms):
        self.released.append(last_ms)


def tag(bits=11):
    return SimpleNamespace(config=TagConfig(algorithm="snowflake", sequence_bits=bits))


def maker(snowflakes, bits=11):
    return snowflakes.of(tag(bits)).layout.unpack(snowflakes.of(tag(bits)).generate().value)


def test_tags_of_one_layout_share_a_generator_and_the_lease_is_renewed_from_the_first_use():
    lease = Lease()
    snowflakes = Snowflakes(lease)
    assert lease.started == 0
    assert snowflakes.of(tag()) is snowflakes.of(tag())
    assert snowflakes.of(tag(10)) is not snowflakes.of(tag())
    assert lease.started == 1
    assert (maker(snowflakes).datacenter, maker(snowflakes).worker) == (3, 7)


def test_another_worker_id_gets_new_generators():
    lease = Lease()
    snowflakes = Snowflakes(lease)
    assert maker(snowflakes).worker == 7
    lease.move_to(9)
    assert maker(snowflakes).worker == 9


@pytest.mark.parametrize("error", [NotHeldError("stopping"), ConnectionError("etcd is away")])
def test_without_a_worker_id_nothing_is_made(error):
    lease = Lease()
    lease.fails = error
    with pytest.raises(NotHeldError):
        Snowflakes(lease).of(tag())


def test_the_worker_id_is_given_back_with_the_last_millisecond_of_all_layouts():
    lease = Lease()
    snowflakes = Snowflakes(lease)
    before_ms = time.time_ns() // 1_000_000
    snowflakes.of(tag(10)).generate()
    snowflakes.of(tag(11)).generate()
    snowflakes.stop()
    assert before_ms <= lease.released[0] <= time.time_ns() // 1_000_000 + 10
    unused = Lease()
    Snowflakes(unused).stop()
    assert unused.released == [0]
