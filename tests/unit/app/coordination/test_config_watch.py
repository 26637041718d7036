"""Live configuration: what is valid counts soon, what isn't changes nothing, and a start needs no etcd."""

import json
import stat

import pytest

from app.coordination.config_keys import BadConfigError, Place, delete_config, put_config
from app.coordination.config_watch import ConfigWatch, write_atomically
from app.coordination.store import EtcdAwayError, WatchBrokenError
from tests.unit.app.coordination.waiting import until

ORDERS = Place("default", "default", "orders")


class Watched:
    """A watch on the fleet's etcd and what it told."""

    def __init__(self, fleet, folder, **more) -> None:
        self.cache = folder / "config.json"
        self.changes, self.refused, self.troubles = [], [], []
        self.fleet = fleet
        self.watch = ConfigWatch(
            fleet.etcd, self.cache, on_change=lambda *change: self.changes.append(change),
            on_refused=lambda *what: self.refused.append(what), on_trouble=self.troubles.append,
            **{"monotonic": lambda: fleet.world.now, **more},
        )  # fmt: skip

    def orders(self):
        return dict(self.watch.overlay(*ORDERS))


@pytest.fixture
def watched(fleet, tmp_path):
    return lambda **more: Watched(fleet, tmp_path, **more)


def test_any_part_of_a_configuration_is_laid_over_and_nothing_else(fleet, watched):
    put_config(fleet.etcd, *ORDERS, {"step": 500, "algorithm": "snowflake"})
    one = watched()
    assert one.watch.load() == "etcd"
    assert one.orders() == {"step": 500, "algorithm": "snowflake"}
    assert one.watch.overlay("default", "default", "events") == {}
    assert one.watch.age_s == 0


def test_readers_cannot_change_what_they_read(fleet, watched):
    put_config(fleet.etcd, *ORDERS, {"step": 500})
    one = watched()
    one.watch.load()
    with pytest.raises(TypeError):
        one.watch.overlay(*ORDERS)["step"] = 1
    with pytest.raises(TypeError):
        one.watch.overlays()[ORDERS] = {}


def test_changes_and_removals_are_followed_and_told(fleet, watched):
    one = watched()
    one.watch.load()
    put_config(fleet.etcd, *ORDERS, {"step": 1})
    put_config(fleet.etcd, *ORDERS, {"step": 2})
    one.watch.follow()
    assert one.orders() == {"step": 2}
    assert delete_config(fleet.etcd, *ORDERS) is True
    assert delete_config(fleet.etcd, *ORDERS) is False
    one.watch.follow()
    assert one.orders() == {}
    assert one.changes == [
        (ORDERS, None, {"step": 1}), (ORDERS, {"step": 1}, {"step": 2}), (ORDERS, {"step": 2}, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value, why",
    [
        ('{"step": 0}', "step: 0 is not allowed: .*greater than or equal to 1"),
        ('{"stepp": 5}', "stepp: not a field of a tag; allowed: algorithm, format, step"),
        ('{"format": "hex"}', "format: 'hex' is not allowed"),
        ("[1]", "allowed: a JSON object"),
        ("{", "not JSON"),
        ('{"step": ' + "1" * 20_000 + "}", "allowed: 16384"),
    ],
)
def test_a_bad_value_is_told_once_and_the_last_good_one_stays(fleet, watched, value, why):
    one = watched()
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    one.watch.load()
    fleet.etcd.put(ORDERS.key, value)
    one.watch.follow()
    for _ in range(3):
        one.watch.relist()
    assert one.orders() == {"step": 7}
    [(key, told)] = one.refused
    assert key == ORDERS.key
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(told)
    put_config(fleet.etcd, *ORDERS, {"step": 8})
    one.watch.follow()
    assert one.orders() == {"step": 8}
    fleet.etcd.put(ORDERS.key, value)
    one.watch.follow()
    assert len(one.refused) == 2, "bad again is told again"


@pytest.mark.parametrize(
    "key", ["/idgen/config/a/b", "/idgen/config/a/b/c/d", "/idgen/config/a//c", "/idgen/config/a/b/ c"]
)
def test_a_key_that_names_no_tag_is_refused_and_its_removal_is_no_error(fleet, watched, key):
    one = watched()
    fleet.etcd.put(key, "{}")
    one.watch.load()
    assert len(one.refused) == 1 and not one.watch.overlays()
    fleet.etcd._remove(key)
    one.watch.follow()
    one.watch.relist()


def test_a_bad_value_at_the_start_leaves_the_last_good_one_of_the_disk(fleet, watched):
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    watched().watch.load()
    fleet.etcd.put(ORDERS.key, '{"step": -1}')
    one = watched()
    assert one.watch.load() == "etcd"
    assert one.orders() == {"step": 7}


def test_a_start_without_etcd_takes_what_was_last_seen_and_the_file_is_only_for_its_owner(fleet, watched):
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    before = watched()
    before.watch.load()
    assert stat.S_IMODE(before.cache.stat().st_mode) == 0o600
    fleet.etcd.away = True
    one = watched()
    assert one.watch.load() == "cache"
    assert one.orders() == {"step": 7} and one.watch.age_s is None
    assert len(one.troubles) == 1


def test_an_emptied_etcd_empties_the_disk_too(fleet, watched):
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    watched().watch.load()
    delete_config(fleet.etcd, *ORDERS)
    watched().watch.load()
    fleet.etcd.away = True
    one = watched()
    assert one.watch.load() == "cache" and one.orders() == {}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "\xff"])
def test_a_broken_disk_cache_is_told_and_not_used(fleet, watched, content):
    fleet.etcd.away = True
    one = watched()
    one.cache.write_text(content)
    assert one.watch.load() == "nothing"
    assert "not readable" in one.refused[0][1]


def test_a_bad_tag_in_the_disk_cache_does_not_take_the_others_with_it(fleet, watched):
    fleet.etcd.away = True
    one = watched()
    one.cache.write_text(json.dumps({ORDERS.key: {"step": 3}, "/idgen/config/a/b/c": {"step": 0}}))
    assert one.watch.load() == "cache"
    assert one.orders() == {"step": 3} and len(one.refused) == 1


def test_nothing_known_and_no_etcd_is_an_empty_start(fleet, watched):
    fleet.etcd.away = True
    assert watched().watch.load() == "nothing"
    assert ConfigWatch(fleet.etcd, None).load() == "nothing"


def test_a_disk_that_cannot_be_written_is_told_and_the_change_counts(fleet, tmp_path):
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    one = Watched(fleet, tmp_path / "nowhere")
    assert one.watch.load() == "etcd"
    assert one.orders() == {"step": 7} and "not kept on disk" in one.troubles[0]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_atomically(tmp_path / "f", "old")

    def fail(fd):
        raise OSError("full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(tmp_path / "f", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_an_event_that_a_watch_lost_is_found_by_the_next_listing(fleet, watched):
    one = watched()
    one.watch.load()
    put_config(fleet.etcd, *ORDERS, {"step": 7})
    fleet.etcd.log.clear()
    one.watch.follow()
    assert one.orders() == {}
    assert not one.watch._list_is_due()
    fleet.world.now += 60
    assert one.watch._list_is_due()
    one.watch.relist()
    assert one.orders() == {"step": 7}


def test_a_broken_watch_and_a_silent_etcd_are_raised_to_the_thread(fleet, watched):
    one = watched()
    one.watch.load()
    fleet.etcd.cut_watches = True
    with pytest.raises(WatchBrokenError):
        one.watch.follow()
    fleet.etcd.away = True
    with pytest.raises(EtcdAwayError):
        one.watch.relist()


def test_the_thread_follows_through_an_outage_and_a_restore(fleet, watched):
    one = watched(retry_s=0.01)
    one.watch.load()
    one.watch.start()
    put_config(fleet.etcd, *ORDERS, {"step": 1})
    until(lambda: one.orders() == {"step": 1}, "the first change")
    fleet.etcd.away = True
    until(lambda: one.troubles, "told that etcd is away")
    fleet.etcd.restore(({}, {}, 0))
    fleet.etcd.away = False
    put_config(fleet.etcd, *ORDERS, {"step": 2})
    until(lambda: one.orders() == {"step": 2}, "the change after the restore")
    one.watch.stop()
    assert len(one.troubles) == 1, "told once for the whole outage"


@pytest.mark.parametrize(
    "place, fields, why",
    [
        (("default", "default", "a/b"), {}, "tag: 'a/b' is not allowed"),
        (("", "default", "a"), {}, "workspace: '' is not allowed"),
        (("default", "..", "a"), {}, "group: '..' is not allowed"),
        (ORDERS, {"step": "many"}, "step: 'many' is not allowed"),
        (ORDERS, {"max_count": 100_001}, "max_count: 100001 is not allowed"),
    ],
)
def test_a_bad_value_is_never_written(fleet, place, fields, why):
    with pytest.raises(BadConfigError, match=why):
        put_config(fleet.etcd, *place, fields)
    assert not fleet.etcd.log
