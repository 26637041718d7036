"""Worker ids on a real etcd: processes killed, etcd stopped, all ids held."""

import time

import pytest

from app.coordination.etcd import Etcd
from app.coordination.lease import WorkerIdsExhaustedError, WorkerLease
from app.coordination.store import Put
from app.coordination.tenure import Epochs
from tests.integration.app.conftest import until
from tests.integration.app.coordination.conftest import TTL_S

pytestmark = pytest.mark.integration


def test_the_id_of_a_killed_process_is_taken_over_by_another_host_only_after_its_lease(etcd, hold):
    with_one_free_id(etcd, 9)
    one = hold("one", "a")
    assert one.worker() == 9
    one.first("usable")
    other = hold("other", "b")
    other.first("exhausted")
    killed = one.kill()
    taken = other.first("acquired", after=killed)
    assert taken["detail"]["worker"] == 9 and taken["detail"]["epoch"] == 2
    assert 1 < taken["at"] - killed < TTL_S + 3
    other.first("usable", after=killed)
    until(lambda: used_since(other), 10, "milliseconds used after the take-over")


def test_a_restarted_process_takes_its_own_id_at_once(etcd, hold):
    one = hold("one")
    assert one.worker() == 0
    one.first("usable")
    one.stop()
    assert etcd.workers() == {}
    began = time.time()
    again = hold("again")
    acquired = again.first("acquired")
    assert acquired["detail"]["worker"] == 0
    again.first("usable")
    killed = again.kill()
    assert etcd.workers() == {0: "again"}, "its lease lives on"
    time.sleep(2.2)  # what was written ahead passes
    third = hold("third")
    acquired = third.first("acquired", after=killed)
    assert acquired["detail"]["worker"] == 0
    assert etcd.workers() == {0: "third"}
    assert began < killed


def test_etcd_stopped_for_longer_than_the_ttl_stops_issuing_in_time_and_comes_back(etcd, hold):
    one = hold("one")
    one.first("usable")
    time.sleep(1)
    etcd.kill()
    stopped = time.time()
    unusable = one.first("unusable", after=stopped)
    assert unusable["at"] - stopped < TTL_S * 5 / 6 + 0.3, "the margin before the lease's end"
    time.sleep(TTL_S * 1.5)
    assert one.kinds().count("lost") == 1
    etcd.start()
    back = time.time()
    usable = one.first("usable", after=unusable["at"])
    assert usable["at"] - back < 5
    assert one.worker() == 0


def test_all_256_held_is_an_error_and_one_freed_is_found(etcd, tmp_path):
    with_one_free_id(etcd, None)
    events = []
    lease = WorkerLease(
        etcd.client, Epochs(lambda worker, holder: (1, 0), lambda *call: None), datacenter=0, holder="p",
        directory=tmp_path, on_event=lambda kind, detail: events.append(kind), ttl_s=TTL_S,
    )  # fmt: skip
    began = time.monotonic()
    with pytest.raises(WorkerIdsExhaustedError, match="all 256 worker ids of data centre 0 are held"):
        lease.acquire()
    assert time.monotonic() - began < 1
    assert events == ["exhausted"]
    etcd.client.transact({}, [Put("/idgen/workers/1/5", "{}")])
    etcd.client.revoke(etcd.client.get("/idgen/workers/0/200").lease)
    lease.start()
    until(lease.usable, 5, "the freed id")
    assert lease.tenure.worker == 200
    lease.release(0)
    assert etcd.client.get("/idgen/workers/0/200") is None


def test_two_hosts_with_epochs_in_the_database_hand_an_id_over(etcd, hold, engine, postgres):
    from app.storage.models import WorkerEpoch

    WorkerEpoch.__table__.create(engine)
    url = postgres.url.replace("postgresql://", "postgresql+psycopg://")
    with_one_free_id(etcd, 77)
    one = hold("one", "a", url)
    one.first("usable")
    time.sleep(0.5)
    other = hold("other", "b", url)
    other.first("exhausted")
    one.stop()
    released = one.first("released")
    taken = other.first("acquired", after=released["at"])
    assert taken["detail"]["worker"] == 77 and taken["detail"]["epoch"] == 2
    assert taken["detail"]["used_until_ms"] == released["detail"]["used_until_ms"], "what was really used"
    assert other.first("usable", after=released["at"])["at"] - released["at"] < 3
    until(lambda: used_since(other), 10, "milliseconds used after the hand-over")


def test_a_fenced_holder_loses_an_id_that_etcd_still_gives_it(etcd, hold, tmp_path):
    import sqlite3

    one = hold("one")
    one.first("usable")
    with sqlite3.connect(tmp_path / "epochs.db", timeout=10) as table:
        table.execute("update epochs set epoch = epoch + 1 where worker = 0")
    table.close()
    lost = one.first("lost")
    assert "newer holder" in lost["detail"]["reason"]
    again = one.first("acquired", after=lost["at"])["detail"]
    assert again["worker"] != 0 or again["epoch"] > 2
    one.first("usable", after=lost["at"])


def with_one_free_id(etcd, free: int | None) -> None:
    """Somebody holds all others, each under a lease of its own."""
    client = Etcd(etcd.urls)
    for worker in set(range(256)) - {free}:
        lease, _ = client.grant(600)
        client.transact({}, [Put(f"/idgen/workers/0/{worker}", '{"holder": "x"}', lease)])


def used_since(holder) -> bool:
    path = holder.log.with_name(f"used-{holder.log.stem}")
    return path.exists() and len(path.read_text().splitlines()) > 10
