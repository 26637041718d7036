"""The connection, live configuration, locks, spans and nodes on a real etcd."""

import time

import pytest

from app.coordination.config_keys import BadConfigError, Place, delete_config, put_config
from app.coordination.config_watch import ConfigWatch
from app.coordination.etcd import Etcd, endpoints
from app.coordination.locks import LockTakenError, lock
from app.coordination.nodes import Node, NodeRegistration, nodes
from app.coordination.spans import Span, take_span
from app.coordination.store import Change, Delete, EtcdAwayError, LeaseGoneError, Put, WatchBrokenError
from tests.integration.app.conftest import docker, until

pytestmark = pytest.mark.integration

ORDERS = Place("default", "default", "orders")


@pytest.mark.parametrize("urls", ["", "ftp://a:1", "http://", "http://a:99999", "http://a:1/x", "a:2379"])
def test_a_bad_endpoint_is_refused_by_name(urls):
    with pytest.raises(ValueError, match=r"etcd endpoint: .* is not allowed"):
        endpoints(urls)


def test_endpoints_have_a_default_port():
    assert endpoints("http://a, https://b:1") == [("http", "a", 2379), ("https", "b", 1)]


def test_keys_transactions_and_leases_do_what_the_store_promises(etcd):
    store = etcd.client
    assert store.get("/k") is None
    first = store.transact({"/k": 0}, [Put("/k", "ä"), Put("/l", "")])
    assert store.transact({"/k": 0}, [Put("/k", "2")]) is None
    assert store.get("/k").value == "ä" and store.get("/k").revision == first
    entries, revision = store.list("/")
    assert [(entry.key, entry.value) for entry in entries] == [("/k", "ä"), ("/l", "")] and revision == first
    assert store.transact({"/k": first}, [Delete("/k"), Delete("/none")]) > first
    lease, lives_s = store.grant(5)
    assert lives_s == 5
    store.transact({}, [Put("/leased", "x", lease)])
    assert store.get("/leased").lease == lease
    assert store.keep_alive(lease) == 5
    store.revoke(lease)
    store.revoke(lease)
    assert store.get("/leased") is None and store.keep_alive(lease) == 0
    with pytest.raises(LeaseGoneError):
        store.transact({}, [Put("/leased", "x", lease)])


def test_an_endpoint_that_is_away_is_left_for_the_next_and_none_is_one_clear_error(etcd):
    both = Etcd(f"http://127.0.0.1:9,{etcd.urls}", timeout_s=1)
    assert both.transact({}, [Put("/k", "v")])
    assert both.get("/k").value == "v"
    both.close()
    with pytest.raises(EtcdAwayError, match=r"no answer within 1 s: http://127.0.0.1:9: .*refused"):
        Etcd("http://127.0.0.1:9", timeout_s=1).get("/k")


def test_a_hanging_etcd_costs_no_more_than_the_time_out(etcd):
    docker("pause", etcd.name)
    try:
        store, began = Etcd(etcd.urls, timeout_s=1), time.monotonic()
        with pytest.raises(EtcdAwayError):
            store.get("/k")
        with pytest.raises(EtcdAwayError):
            list(store.watch("/k", 1, 1))
        assert time.monotonic() - began < 4
    finally:
        docker("unpause", etcd.name)


def test_a_watch_tells_changes_in_order_from_a_revision_on_and_ends_when_idle(etcd):
    store = etcd.client
    start = store.transact({}, [Put("/w/a", "1")])
    store.transact({}, [Put("/w/b", "2"), Put("/x", "no")])
    end = store.transact({}, [Delete("/w/a")])
    began = time.monotonic()
    assert list(store.watch("/w/", start, 1)) == [Change("/w/b", "2", start + 1), Change("/w/a", None, end)]
    assert 0.9 < time.monotonic() - began < 3
    docker("exec", etcd.name, "etcdctl", "compact", str(end))
    with pytest.raises(WatchBrokenError, match="etcd ended the watch"):
        list(store.watch("/w/", start - 1, 1))


def test_configuration_is_live_within_five_seconds_also_after_etcd_restarted_with_its_data(etcd, tmp_path):
    changes, refused, troubles = [], [], []
    watch = ConfigWatch(
        Etcd(etcd.urls), tmp_path / "config.json", on_change=lambda *change: changes.append(change),
        on_refused=lambda *what: refused.append(what), on_trouble=troubles.append,
    )  # fmt: skip
    assert watch.load() == "etcd"
    watch.start()
    try:
        for step in (100, 200):
            began = time.monotonic()
            put_config(etcd.client, *ORDERS, {"step": step})
            until(lambda step=step: watch.overlay(*ORDERS) == {"step": step}, 5, f"step {step}")
            print(f"live after {time.monotonic() - began:.3f} s")
        etcd.client.transact({}, [Put(ORDERS.key, '{"step": 0}')])
        until(lambda: refused, 5, "told of the bad value")
        assert watch.overlay(*ORDERS) == {"step": 200}
        etcd.kill()
        until(lambda: troubles, 10, "told that etcd is away")
        assert watch.overlay(*ORDERS) == {"step": 200}
        etcd.start()
        began = time.monotonic()
        put_config(etcd.client, *ORDERS, {"step": 300})
        until(lambda: watch.overlay(*ORDERS) == {"step": 300}, 5, "the change after the restart")
        print(f"live after the restart and {time.monotonic() - began:.3f} s")
        assert delete_config(etcd.client, *ORDERS)
        until(lambda: not watch.overlay(*ORDERS), 5, "removed")
        assert len(refused) == 1
    finally:
        watch.stop()


def test_a_start_without_etcd_uses_what_was_seen_last_and_a_bad_value_is_not_written(etcd, tmp_path):
    with pytest.raises(BadConfigError, match="step: 0 is not allowed"):
        put_config(etcd.client, *ORDERS, {"step": 0})
    put_config(etcd.client, *ORDERS, {"step": 5})
    assert ConfigWatch(etcd.client, tmp_path / "config.json").load() == "etcd"
    etcd.kill()
    again = ConfigWatch(Etcd(etcd.urls), tmp_path / "config.json")
    assert again.load() == "cache"
    assert again.overlay(*ORDERS) == {"step": 5}


def test_locks_spans_and_nodes_work_together_on_one_etcd(etcd):
    store = etcd.client
    with lock(store, "a", 3, holder="first") as token:
        with pytest.raises(LockTakenError, match="first"), lock(Etcd(etcd.urls), "a", 3, holder="second"):
            pass
        assert store.transact({token.key: token.revision}, [Put("/guarded", "x")])
    made = []
    for datacenter in (0, 1, 0):
        span = Span(datacenter * 100 + 1, datacenter * 100 + 99)
        take_span(store, datacenter, span, lambda span, token: made.append(span.first), holder="p")
    assert made == [1, 101]
    one = NodeRegistration(store, 4, "n", Node("blue", "1.2.3", 1, 2.0), ttl_s=3)
    one.start()
    until(lambda: nodes(store, 4), 5, "registered")
    time.sleep(4)
    assert list(nodes(store)) == [(4, "n")], "it beats"
    one.stop()
    assert nodes(store) == {}
