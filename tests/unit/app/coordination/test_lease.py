"""A worker id has one holder, and none of its milliseconds has two."""

import pytest

from app.coordination.lease import WorkerIdsExhaustedError, WorkerLease
from app.coordination.store import EtcdAwayError
from app.coordination.tenure import NotDurableError, NotHeldError
from app.coordination.worker_ids import Stamp


@pytest.mark.parametrize("datacenter", [-1, 8, "1", True])
def test_a_data_centre_outside_0_to_7_is_refused_by_name(fleet, tmp_path, datacenter):
    with pytest.raises(ValueError, match=r"datacenter: .* is not allowed; allowed: 0 to 7"):
        WorkerLease(fleet.etcd, fleet.epochs.table, datacenter=datacenter, holder="p", directory=tmp_path)


@pytest.mark.parametrize("times", [{"interval_s": 0}, {"interval_s": 26}, {"margin_s": 30}, {"margin_s": 0}])
def test_times_that_leave_no_room_for_a_renewal_are_refused(process, times):
    with pytest.raises(ValueError, match="interval_s"):
        process(**times)


def test_two_processes_never_hold_one_id(process):
    first, second = process("a"), process("b")
    assert first.lease.acquire().worker != second.lease.acquire().worker
    assert first.use() and second.use()


def test_issuing_stops_five_seconds_before_the_lease_ends(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.world.now = 24.9
    assert one.lease.usable() and one.use()
    fleet.world.now = 25.0
    assert not one.lease.usable() and not one.use()
    with pytest.raises(NotHeldError, match="wasn't renewed in time"):
        one.lease.reserve(one.clock_ms())


def test_renewals_keep_it_usable_for_as_long_as_they_go_on(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.pass_time(600)
    assert one.lease.usable() and one.use()
    assert one.lease.tenure.left_s() == 25
    assert one.kinds() == ["acquired"]


def test_the_time_of_a_slow_renewal_counts_from_when_it_was_asked_for(fleet, process):
    one = process()
    one.lease.acquire()
    ask = fleet.etcd.keep_alive

    def slow(lease):
        answer = ask(lease)
        fleet.world.now += 4
        return answer

    fleet.etcd.keep_alive = slow
    one.lease.renew()
    assert one.lease.tenure.left_s() == 30 - 5 - 4


def test_a_paused_process_is_not_usable_when_it_wakes(fleet, process):
    fleet.etcd.hold_all_but(0, [5])
    one, other = process("a"), process("b")
    one.lease.acquire()
    assert one.use()
    fleet.world.now += 3_600
    assert not one.use()
    assert other.lease.acquire().worker == one.worker and other.use()
    assert one.lease.renew() is False
    assert one.lease.tenure is None
    assert one.events[-1][0] == "lost" and one.events[-1][1]["final"] is True


def test_a_lost_lease_is_acquired_again_under_the_same_id_and_a_new_epoch(fleet, process):
    one = process()
    before = one.lease.acquire()
    assert one.use()
    fleet.world.now += 40
    one.lease.renew()
    after = one.lease.acquire()
    assert (after.worker, after.epoch) == (before.worker, before.epoch + 1)
    assert one.use()
    assert not before.usable()
    assert one.kinds() == ["acquired", "lost", "acquired"]


def test_a_lost_tenure_never_writes_over_the_state_of_the_next(fleet, process):
    one = process()
    before = one.lease.acquire()
    fleet.world.now += 40
    one.lease.renew()
    one.lease.acquire()
    kept = one.lease._file.state
    with pytest.raises(NotHeldError, match="etcd has ended its lease"):
        before.reserve(one.clock_ms())
    assert one.lease._file.state == kept


def test_etcd_away_for_less_than_the_margin_is_only_told(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.etcd.away = True
    fleet.pass_time(20)
    assert one.use()
    assert one.kinds() == ["acquired", "renewed_failed", "renewed_failed"]
    fleet.etcd.away = False
    fleet.pass_time(5)
    assert one.lease.renew()
    assert one.lease.tenure.left_s() == 25


def test_etcd_back_after_more_than_the_ttl_with_its_leases_lets_the_same_tenure_go_on(fleet, process):
    one = process()
    tenure = one.lease.acquire()
    fleet.etcd.away, leases = True, fleet.etcd.snapshot()
    fleet.pass_time(60)
    assert not one.use()
    assert one.kinds().count("lost") == 1, "told once, not at every try"
    fleet.etcd.restore(leases)  # a restarted etcd begins every lease's time again
    fleet.etcd.away = False
    assert one.lease.renew()
    assert one.lease.tenure is tenure and one.use()


def test_after_a_gap_the_epoch_must_confirm_before_anything_is_issued(fleet, process):
    one = process()
    one.lease.acquire()
    leases = fleet.etcd.snapshot()
    fleet.world.now += 60
    fleet.etcd.restore(leases)
    fleet.epochs.away = True
    assert not one.lease.renew()
    assert not one.use()
    fleet.epochs.away = False
    assert one.lease.renew() and one.use()


def test_a_restored_etcd_that_believes_in_an_old_lease_does_not_give_two_holders(fleet, process):
    old = process("a")
    old.lease.acquire()
    believes_in_old = fleet.etcd.snapshot()
    fleet.world.now += 31
    # Elsewhere the id was given to another, which etcd then forgets.
    epoch, _ = fleet.epochs.begin(old.worker, "the new one")
    fleet.etcd.restore(believes_in_old)
    assert old.lease.renew() is False
    assert old.lease.tenure is None
    assert "newer holder" in old.events[-1][1]["reason"]
    assert epoch == 2


def test_a_key_that_another_holds_ends_the_tenure(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.etcd.put(f"/idgen/workers/0/{one.worker}", "{}")
    assert not one.lease.renew()
    assert one.events[-1] == (
        "lost",
        {"worker": 0, "reason": "etcd has given its key to another", "final": True},
    )


def test_postgres_away_does_not_end_what_etcd_confirms(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.epochs.away = True
    for _ in range(30):
        fleet.pass_time(10)
        assert one.use(), "five minutes without Postgres"
    assert one.lease.tenure.durable_until_ms > one.clock_ms()
    # And who comes next knows of it from etcd, though Postgres doesn't.
    one.die()
    fleet.epochs.away = False
    fleet.world.now += 31
    other = process("b")
    fleet.etcd.hold_all_but(0, [0])
    assert other.lease.acquire().used_until_ms > one._last_ms


def test_a_forward_jump_beyond_what_is_durable_asks_postgres_at_once(fleet, process):
    one = process()
    one.lease.acquire()
    calls = fleet.etcd.calls
    one.wall_ms = 3_600_000
    assert one.use()
    assert fleet.epochs.rows[one.worker][1] > one.clock_ms()
    assert fleet.etcd.calls == calls, "a request never asks etcd"


def test_a_forward_jump_is_refused_while_it_cannot_be_made_durable_and_one_request_a_second_asks(
    fleet, process
):
    one = process()
    one.lease.acquire()
    fleet.epochs.away = True
    one.wall_ms = 3_600_000
    calls = fleet.epochs.calls
    for _ in range(5):
        with pytest.raises(NotDurableError, match="beyond what is durable"):
            one.lease.reserve(one.clock_ms())
    assert fleet.epochs.calls == calls + 1
    fleet.epochs.away = False
    fleet.world.now += 1
    assert one.use()


def test_a_forward_jump_under_an_old_epoch_loses_the_id(fleet, process):
    one = process()
    one.lease.acquire()
    fleet.epochs.begin(one.worker, "another")
    one.wall_ms = 3_600_000
    with pytest.raises(NotHeldError, match="a newer holder exists"):
        one.lease.reserve(one.clock_ms())
    assert not one.lease.usable()
    assert not one.lease.renew()
    assert one.kinds()[-1] == "lost"


def test_without_a_jump_no_request_asks_anyone_and_the_file_is_written_every_three_seconds(fleet, process):
    one = process()
    one.lease.acquire()
    written = []
    write = one.lease._file.write
    one.lease._file.write = lambda state: (written.append(state), write(state))
    calls = fleet.etcd.calls, fleet.epochs.calls
    for _ in range(200):
        fleet.world.now += 0.1
        assert one.use()
    assert (fleet.etcd.calls, fleet.epochs.calls) == calls
    assert 6 <= len(written) <= 8


def test_a_disk_that_cannot_be_written_refuses_instead_of_issuing(fleet, process):
    one = process()
    one.lease.acquire()

    def full(state):
        raise OSError("no space left on device")

    one.lease._file.write = full
    with pytest.raises(NotDurableError, match="no space left"):
        one.lease.reserve(one.clock_ms())


def test_a_released_id_goes_on_exactly_after_its_last_millisecond(fleet, process):
    one = process("a")
    one.lease.acquire()
    fleet.world.now += 5
    assert one.use()
    last = one._last_ms
    one.stop()
    assert fleet.etcd.kept["/idgen/stamps/0/0"].value == Stamp(1, last, exact=True).to_json()
    assert one.kinds()[-1] == "released"
    again = process("a")
    assert (again.lease.acquire().worker, again.lease.tenure.used_until_ms) == (0, last)
    fleet.world.now += 0.001
    assert again.use(), "and at once"


def test_a_killed_process_of_this_host_gives_its_id_to_the_next_at_once(fleet, process):
    one = process("a")
    one.lease.acquire()
    assert one.use()
    one.die()
    fleet.world.now += 2.5
    again = process("a")
    assert again.lease.acquire().worker == 0, "though its lease would have lived for 27 s more"
    assert again.lease.tenure.used_until_ms == again.clock_ms() - 2_500 + 3_000
    fleet.world.now += 0.6
    assert again.use()


def test_an_own_id_with_a_stamp_in_the_future_is_not_taken_again(fleet, process):
    one = process("a")
    one.lease.acquire()
    assert one.use()
    one.die()
    again = process("a")
    again.wall_ms = -5_000
    assert again.lease.acquire().worker == 1
    assert again.use()


def test_a_killed_process_of_another_host_keeps_its_id_until_its_lease_has_run_out(fleet, process):
    fleet.etcd.hold_all_but(0, [7])
    one, other = process("a"), process("b")
    one.lease.acquire()
    assert one.use()
    one.die()
    with pytest.raises(WorkerIdsExhaustedError, match="all 256 worker ids of data centre 0 are held"):
        other.lease.acquire()
    fleet.world.now += 30
    tenure = other.lease.acquire()
    assert tenure.worker == 7
    assert not other.use(), "what was reserved ahead hasn't passed yet"
    fleet.world.now += 3.1
    assert other.use()


def test_all_256_held_is_told_once_and_a_freed_one_is_found(fleet, process):
    held = [process(f"h{number}") for number in range(256)]
    assert {one.lease.acquire().worker for one in held} == set(range(256))
    late = process("late")
    for _ in range(3):
        with pytest.raises(WorkerIdsExhaustedError):
            late.lease.acquire()
    assert late.kinds() == ["exhausted"]
    held[77].stop()
    assert late.lease.acquire().worker == 77


def test_an_id_that_another_host_really_used_until_later_is_passed_over(fleet, process):
    """etcd lost its stamps, Postgres tells: look for an id that can be used at once."""
    fleet.epochs.rows = {0: (5, 1_900_000_000_000), 1: (2, 1_900_000_000_000)}
    one = process()
    assert one.lease.acquire().worker == 2
    assert one.use()
    assert {"/idgen/workers/0/2"} == {key for key in fleet.etcd.kept if key.startswith("/idgen/workers")}


def test_a_stopped_postgres_means_that_nothing_is_acquired_and_nothing_stays_held(fleet, process):
    fleet.epochs.away = True
    one = process()
    with pytest.raises(ConnectionError):
        one.lease.acquire()
    assert one.lease.tenure is None and not fleet.etcd.leases
    with pytest.raises(NotHeldError, match="no worker id is held"):
        one.lease.reserve(1)


def test_a_restored_postgres_does_not_repeat_an_epoch_that_etcd_knows(fleet, process):
    one = process("a")
    for _ in range(5):
        one.lease.acquire()
        fleet.world.now += 40
        one.lease.renew()
    assert fleet.epochs.rows[0][0] == 5
    fleet.epochs.rows[0] = (2, 0)  # a backup
    other = process("b")
    fleet.etcd.hold_all_but(0, [0])
    assert other.lease.acquire().epoch == 6
    assert other.lease.tenure.used_until_ms > one.clock_ms() - 40_000


def test_an_answer_lost_on_the_way_does_not_lose_the_id(fleet, process):
    one = process()
    transact = fleet.etcd.transact

    def twice(when, then):
        """The first endpoint did it but its answer was lost, so the next endpoint was asked."""
        if any(key.startswith("/idgen/workers") and at == 0 for key, at in when.items()):
            transact(when, then)
        return transact(when, then)

    fleet.etcd.transact = twice
    assert one.lease.acquire().worker == 0
    assert one.lease.renew()


def test_release_without_etcd_leaves_the_exact_millisecond_for_the_next_on_this_host(fleet, process):
    one = process("a")
    one.lease.acquire()
    fleet.world.now += 5
    one.use()
    fleet.etcd.away = True
    one.stop()
    assert "not told to everyone" in one.events[-1][1]["reason"]
    fleet.etcd.away = False
    again = process("a")
    assert (again.lease.acquire().worker, again.lease.tenure.used_until_ms) == (0, one._last_ms)


def test_acquire_with_etcd_away_says_so_and_leaves_nothing(fleet, process):
    fleet.etcd.away = True
    one = process()
    with pytest.raises(EtcdAwayError):
        one.lease.acquire()
    assert not one.lease.usable() and not one.lease.renew()


def test_after_release_nothing_is_acquired_any_more(process):
    one = process()
    one.lease.acquire()
    one.stop()
    with pytest.raises(NotHeldError, match="stopping"):
        one.lease.acquire()


def test_the_file_never_promises_more_than_survives_the_loss_of_the_host(fleet, process):
    one = process()
    durable = one.lease.acquire().durable_until_ms
    assert one.lease.reserve(durable - 1_000) == durable
    assert one.lease._file.state.used_until_ms == durable


def test_the_state_of_a_copied_directory_is_not_believed(fleet, process, tmp_path):
    """A cloned machine must neither end the lease of the one it was cloned from nor use its milliseconds."""
    one = process("a")
    one.lease.acquire()
    assert one.use()
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "lease-0").write_bytes((tmp_path / "a" / "lease-0").read_bytes())
    clone = process("clone")
    assert clone.lease.acquire().worker == 1
    assert one.lease.renew() and one.use()


def test_processes_that_start_together_each_find_a_state_file_of_their_own(fleet, process):
    before = [process("a") for _ in range(4)]
    ids = {one.lease.acquire().worker for one in before}
    for one in before:
        one.stop()
    after = [process("a") for _ in range(4)]
    assert {one.lease.acquire().worker for one in after} == ids


def test_a_torn_state_file_is_as_good_as_none(fleet, process, tmp_path):
    one = process("a")
    one.lease.acquire()
    one.use()
    one.stop()
    (tmp_path / "a" / "lease-0").write_bytes(b'{"datacenter": 0, "wor')
    fleet.world.now += 0.001
    again = process("a")
    assert again.lease.acquire().worker == 0, "etcd knows it as returned"
    assert again.use()


def test_the_thread_acquires_renews_and_acquires_again(fleet, tmp_path):
    from app.coordination.lease import WorkerLease
    from tests.unit.app.coordination.waiting import until

    events = []
    lease = WorkerLease(
        fleet.etcd, fleet.epochs.table, datacenter=3, holder="p", directory=tmp_path, ttl_s=3,
        interval_s=0.02, on_event=lambda kind, detail: events.append(kind), monotonic=lambda: fleet.world.now,
    )  # fmt: skip
    fleet.etcd.away = True
    lease.start()
    until(lambda: "renewed_failed" in events, "told that etcd is away")
    fleet.etcd.away = False
    until(lease.usable, "acquired")
    first = lease.tenure
    calls = fleet.etcd.calls
    until(lambda: fleet.etcd.calls > calls + 6, "renewed")
    assert lease.tenure is first
    fleet.world.now += 4
    until(lambda: lease.tenure not in (None, first), "acquired again")
    assert lease.tenure.worker == first.worker and lease.usable()
    lease.release(0)
    assert not lease.usable() and events[-1] == "released"
    assert not [key for key in fleet.etcd.kept if key.startswith("/idgen/workers/3/")]


def test_a_stores_own_error_for_a_stale_epoch_ends_the_tenure(fleet, tmp_path):
    from app.coordination.lease import WorkerLease
    from app.coordination.tenure import Epochs

    class StaleError(Exception):
        pass

    def reserve(worker, epoch, until_ms):
        if fleet.world.now:
            raise StaleError("epoch 2 exists")

    lease = WorkerLease(
        fleet.etcd, Epochs(lambda worker, holder: (1, 0), reserve, StaleError), datacenter=0, holder="p",
        directory=tmp_path, monotonic=lambda: fleet.world.now,
    )  # fmt: skip
    lease.acquire()
    fleet.world.now = 10
    assert not lease.renew()
    assert lease.tenure is None
