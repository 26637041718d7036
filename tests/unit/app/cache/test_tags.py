from dataclasses import replace

import orjson
import pytest

from app.cache.tags import HOLD_S, JITTER, TTL_S, SegmentState, TagCache, key
from app.storage.tags import Tag
from app.tag_config import TagConfig

ORDERS = Tag(1, 5, "shop", "default", "orders", TagConfig(step=500, max_id=10_000))
STATE = SegmentState(2**55 + 1, 2**56 - 1, 500, 3)


@pytest.fixture
def rows():
    """What the database has, and what it was asked."""
    return {"tag": ORDERS, "asked": 0}


@pytest.fixture
def tags(cache, clock, rows):
    def read(workspace_id, name):
        rows["asked"] += 1
        if isinstance(rows["tag"], Exception):
            raise rows["tag"]
        return rows["tag"]

    cache.start()
    made = TagCache(cache, 2, read=read, spawn=lambda step: step(), uniform=lambda: 0.5, now=clock)
    made.put(ORDERS)
    return made


def test_the_key_is_segment_workspace_tag_and_data_centre(tags, server):
    assert list(server.values) == ["segment:shop/orders:2"] == [key("shop", "orders", 2)]
    assert orjson.loads(server.values["segment:shop/orders:2"][0])["tag"]["config"]["step"] == 500


def test_a_hit_skips_the_database(tags, rows):
    assert [tags.get(5, "orders") for _ in range(100)] == [ORDERS] * 100
    assert rows["asked"] == 0


def test_the_state_is_exact_and_stays_when_the_tag_is_put_without(tags):
    assert tags.state(5, "orders") is None
    tags.put(ORDERS, STATE)
    tags.put(replace(ORDERS, config=TagConfig(step=9)))
    assert tags.state(5, "orders") == STATE
    assert tags.get(5, "orders").config.step == 9


def test_a_tag_in_use_is_renewed_before_its_end_by_one_caller(tags, rows, clock, server):
    clock.now += 0.79 * TTL_S
    tags.get(5, "orders")
    assert rows["asked"] == 0
    clock.now += 0.02 * TTL_S
    rows["tag"] = replace(ORDERS, config=TagConfig(step=700))
    assert [tags.get(5, "orders").config.step for _ in range(10)] == [500] + [700] * 9
    assert rows["asked"] == 1
    clock.now += 0.5 * TTL_S
    assert tags.get(5, "orders").config.step == 700, "it never left the cache"


def test_many_processes_renew_once(tags, rows, clock, cache):
    slow = []
    others = [
        TagCache(cache, 2, read=lambda w, n: ORDERS, spawn=slow.append, uniform=lambda: 0.5, now=clock)
        for _ in range(5)
    ]
    clock.now += 0.9 * TTL_S
    for each in others:
        each._workspaces[5] = "shop"
        assert each.get(5, "orders") == ORDERS
    assert len(slow) == 1


def test_a_database_that_is_away_takes_nothing_from_the_cache(tags, rows, clock):
    rows["tag"] = OSError("away")
    clock.now += 0.9 * TTL_S
    assert tags.get(5, "orders") == ORDERS and rows["asked"] == 1
    clock.now += 0.05 * TTL_S
    assert tags.get(5, "orders") == ORDERS and rows["asked"] == 2


def test_a_tag_that_is_gone_leaves_at_its_renewal(tags, rows, clock):
    rows["tag"] = None
    clock.now += 0.9 * TTL_S
    tags.get(5, "orders")
    assert tags.get(5, "orders") is None


def test_what_was_read_before_a_change_doesnt_come_back_after_it(tags, clock):
    tags.forget(ORDERS)
    assert not tags.put(ORDERS) and tags.get(5, "orders") is None
    clock.now += HOLD_S
    assert tags.put(ORDERS) and tags.get(5, "orders") == ORDERS


def test_all_tags_are_warm_after_a_start_and_end_at_different_times(cache, clock, server):
    cache.start()
    numbers = iter([0.0, 1.0] * 500)
    tags = TagCache(cache, 0, read=lambda w, n: None, spawn=print, uniform=lambda: next(numbers), now=clock)
    all_tags = [replace(ORDERS, id=n, name=f"t{n}") for n in range(1000)]
    assert tags.warm(all_tags, {3: STATE}) == 1000
    assert tags.get(5, "t999") == all_tags[999] and tags.state(5, "t3") == STATE
    ends = {round(end - clock()) for _, end in server.values.values()}
    assert ends == {round(TTL_S * (1 - JITTER)), round(TTL_S * (1 + JITTER))}


def test_another_workspace_that_has_the_name_now_isnt_mistaken(tags):
    tags.put(replace(ORDERS, workspace_id=6))
    assert tags.get(5, "orders") is None and tags.get(6, "orders").workspace_id == 6
    assert tags.get(99, "orders") is None, "a workspace never heard of"


@pytest.mark.parametrize(
    "text", [b"{", b"[1]", b'{"tag": 1}', b'{"tag": {"config": {"x": 1}}, "renew_at": 1}']
)
def test_a_value_of_another_version_counts_as_none(tags, cache, text):
    cache.put("segment:shop/orders:2", text, 10)
    assert tags.get(5, "orders") is None and tags.state(5, "orders") is None
    assert tags.put(ORDERS) and tags.get(5, "orders") == ORDERS


def test_redis_away_is_no_tag_and_no_error(tags, server, clock):
    server.away = True
    assert tags.get(5, "orders") is None and not tags.put(ORDERS) and not tags.forget(ORDERS)


def test_an_executor_that_is_shut_down_fails_no_request(cache, clock):
    def spawn(step):
        raise RuntimeError("cannot schedule new futures after shutdown")

    cache.start()
    tags = TagCache(cache, 2, read=lambda w, n: ORDERS, spawn=spawn, uniform=lambda: 0.5, now=clock)
    tags.put(ORDERS)
    clock.now += 0.9 * TTL_S
    assert tags.get(5, "orders") == ORDERS
