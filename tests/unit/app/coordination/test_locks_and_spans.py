"""One at a time over all data centres; spans that never overlap; who runs is listed while it runs."""

import pytest

from app.coordination.locks import LockLostError, LockTakenError, lock
from app.coordination.nodes import Node, NodeRegistration, nodes
from app.coordination.spans import Span, SpanOverlapError, take_span
from app.coordination.store import EtcdAwayError
from tests.unit.app.coordination.waiting import until


@pytest.fixture
def hold(fleet):
    """A lock whose waiting is the world's time."""

    def sleep(seconds: float) -> None:
        fleet.world.now += seconds

    return lambda name, **more: lock(
        fleet.etcd, name, 10, **{"holder": "me", "monotonic": lambda: fleet.world.now, "sleep": sleep, **more}
    )


def test_a_held_lock_is_refused_with_its_holder_and_free_afterwards(fleet, hold):
    with (
        hold("a", holder="first") as token,
        hold("b"),
        pytest.raises(LockTakenError, match=r"held by .*first"),
        hold("a", wait_s=3),
    ):
        pass
    with hold("a") as later:
        assert later.revision > token.revision, "the fencing token grows"
    assert not fleet.etcd.leases, "no lease is left behind"


def test_the_lock_of_a_dead_holder_is_free_after_its_ttl(fleet, hold):
    dead = hold("a")
    dead.__enter__()
    with hold("a", wait_s=11):
        assert 10 <= fleet.world.now <= 10.5


def test_whoever_worked_longer_than_the_ttl_is_told_and_its_token_writes_nothing(fleet, hold):
    from app.coordination.store import Put

    with pytest.raises(LockLostError, match="lock a was lost"), hold("a") as token:
        fleet.world.now += 11
        with hold("a"):
            assert fleet.etcd.transact({token.key: token.revision}, [Put("k", "v")]) is None


def test_an_error_under_the_lock_frees_it(fleet, hold):
    with pytest.raises(ZeroDivisionError), hold("a"):
        _ = 1 / 0
    with hold("a"):
        pass


def test_a_lock_without_etcd_is_not_held(fleet, hold):
    fleet.etcd.away = True
    with pytest.raises(EtcdAwayError), hold("a"):
        pytest.fail("held")
    fleet.etcd.away = False
    fleet.etcd.lose_answers = 1
    with pytest.raises(EtcdAwayError), hold("a"):
        pytest.fail("held")
    with hold("a"):
        pass


def test_a_bad_name_is_refused(fleet, hold):
    with pytest.raises(ValueError, match="lock: 'a/b' is not allowed"), hold("a/b"):
        pass


def test_a_span_is_initialised_once_and_counts_only_when_that_worked(fleet):
    made = []
    span = Span(1, 2**53 - 1)

    def fail(span, token):
        raise ConnectionError("no database")

    with pytest.raises(ConnectionError):
        take_span(fleet.etcd, 0, span, fail, holder="p")
    assert take_span(fleet.etcd, 0, span, lambda *call: made.append(call), holder="p") is True
    assert take_span(fleet.etcd, 0, span, lambda *call: made.append(call), holder="p") is False
    [(got, token)] = made
    assert got == span and token > 0


def test_spans_of_data_centres_never_overlap_and_never_change(fleet):
    width = 2**53

    def take(datacenter, first, last):
        return take_span(fleet.etcd, datacenter, Span(first, last), lambda *call: None, holder="p")

    for datacenter in range(8):
        assert take(datacenter, datacenter * width + 1, (datacenter + 1) * width - 1)
    with pytest.raises(SpanOverlapError, match="a span never changes"):
        take(3, 1, 2)
    fleet.etcd._remove("/idgen/segments/3")
    with pytest.raises(SpanOverlapError, match="/idgen/segments/2 has"):
        take(3, 3 * width - 1, 4 * width - 1)
    assert "/idgen/segments/3" not in fleet.etcd.kept


def test_a_slow_initialisation_that_lost_the_lock_does_not_count(fleet):
    def slow(span, token):
        fleet.world.now += 31

    with pytest.raises(EtcdAwayError, match="the lock ended before"):
        take_span(fleet.etcd, 0, Span(1, 9), slow, holder="p")
    assert "/idgen/segments/0" not in fleet.etcd.kept


@pytest.mark.parametrize("span", [Span(0, 5), Span(5, 4), Span(1, 2**63)])
def test_an_impossible_span_is_refused(fleet, span):
    with pytest.raises(ValueError, match=r"span: .* is not allowed"):
        take_span(fleet.etcd, 0, span, lambda *call: None, holder="p")


def test_a_mark_that_cannot_be_read_stops_the_start(fleet):
    fleet.etcd.put("/idgen/segments/0", "oops")
    with pytest.raises(SpanOverlapError, match="is no span"):
        take_span(fleet.etcd, 0, Span(1, 9), lambda *call: None, holder="p")


NODE = Node("blue", "1.2.3", 4711, 1_800_000_000.0)


def test_a_node_is_listed_while_it_beats_and_gone_when_it_stops(fleet):
    one = NodeRegistration(fleet.etcd, 2, "host-a:4711", NODE)
    assert one.beat()
    fleet.world.now += 20
    assert one.beat()
    fleet.world.now += 20
    assert nodes(fleet.etcd, 2) == nodes(fleet.etcd) == {(2, "host-a:4711"): NODE}
    assert nodes(fleet.etcd, 1) == {}
    one.stop()
    assert nodes(fleet.etcd) == {}


def test_a_dead_node_disappears_and_a_late_one_comes_back(fleet):
    one = NodeRegistration(fleet.etcd, 0, "n", NODE)
    one.beat()
    fleet.world.now += 31
    assert nodes(fleet.etcd) == {}
    assert one.beat()
    assert len(nodes(fleet.etcd)) == 1


def test_an_outage_is_told_once_and_what_is_no_node_is_left_out(fleet):
    told = []
    one = NodeRegistration(fleet.etcd, 0, "n", NODE, on_failure=told.append)
    fleet.etcd.away = True
    assert not one.beat() and not one.beat()
    assert len(told) == 1
    fleet.etcd.away = False
    fleet.etcd.put("/idgen/nodes/0/other", "not a node")
    fleet.etcd.put("/idgen/nodes/x", "{}")
    one.start()
    until(lambda: nodes(fleet.etcd), "registered")
    one.stop()
    assert nodes(fleet.etcd) == {}


def test_a_bad_node_name_is_refused(fleet):
    with pytest.raises(ValueError, match="node: 'a b' is not allowed"):
        NodeRegistration(fleet.etcd, 0, "a b", NODE)
