"""Worker ids are fenced by epochs."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.storage import workers
from app.storage.workers import FencedError

pytestmark = pytest.mark.integration


def test_whoever_begins_later_fences_the_one_before(engine):
    first = workers.begin(engine, 1, 9, "a")
    assert first == (1, 0)
    assert workers.reserve(engine, 1, 9, first.epoch, 5_000) == 5_000
    second = workers.begin(engine, 1, 9, "b")
    assert second == (2, 5_000)
    with pytest.raises(FencedError, match="epoch 1 is over"):
        workers.reserve(engine, 1, 9, first.epoch, 9_000)
    with pytest.raises(FencedError):
        workers.end(engine, 1, 9, first.epoch, 9_000)
    assert workers.every(engine, 1) == [(9, 2, "b", 5_000)]


def test_the_stamp_never_goes_back(engine):
    epoch = workers.begin(engine, 0, 0, "a").epoch
    workers.reserve(engine, 0, 0, epoch, 5_000)
    assert workers.reserve(engine, 0, 0, epoch, 4_000) == 5_000
    assert workers.begin(engine, 0, 0, "b").used_until_ms == 5_000


def test_an_id_given_back_keeps_what_was_really_used_and_nothing_earlier_than_its_beginning(engine):
    epoch = workers.begin(engine, 0, 0, "a").epoch
    workers.reserve(engine, 0, 0, epoch, 9_000)
    assert workers.end(engine, 0, 0, epoch, 6_500) == 6_500
    with pytest.raises(FencedError):
        workers.reserve(engine, 0, 0, epoch, 9_000)
    unused = workers.begin(engine, 0, 0, "b")
    assert unused.used_until_ms == 6_500
    workers.reserve(engine, 0, 0, unused.epoch, 9_000)
    assert workers.end(engine, 0, 0, unused.epoch, 0) == 6_500
    assert workers.every(engine, 0)[0].holder == ""


def test_of_many_who_begin_at_once_each_gets_an_epoch_of_its_own_and_one_may_go_on(engine):
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda n: workers.begin(engine, 2, 3, str(n)), range(40)))
    assert sorted(one.epoch for one in begun) == list(range(1, 41))
    alive = []
    for one in begun:
        try:
            workers.reserve(engine, 2, 3, one.epoch, 1)
            alive.append(one.epoch)
        except FencedError:
            continue
    assert alive == [40]


def test_after_a_restore_every_holder_is_stale_and_every_stamp_is_now(engine):
    held = workers.begin(engine, 0, 1, "a")
    workers.reserve(engine, 0, 1, held.epoch, 10)
    assert workers.fence_all(engine, now_ms=7_000) == 1
    with pytest.raises(FencedError):
        workers.reserve(engine, 0, 1, held.epoch, 8_000)
    following = workers.begin(engine, 0, 1, "b")
    assert following.epoch > held.epoch + 1_000
    assert following.used_until_ms == 7_000
