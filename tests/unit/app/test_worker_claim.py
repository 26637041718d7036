"""Worker ids: unique while held, and their last used time outlives the holder."""

import pytest

from app.coordination.worker_claim import RESERVE_AHEAD_MS, NoWorkerIdError, claim, worker_id


def take(folder, slot="blue", host_index=3):
    return claim(folder, host_index=host_index, slot=slot)


def test_four_processes_of_a_slot_hold_four_ids_and_a_fifth_is_refused(tmp_path):
    held = [take(tmp_path) for _ in range(4)]
    assert len({one.worker for one in held}) == 4
    with pytest.raises(NoWorkerIdError, match="all 4 worker ids of slot blue"):
        take(tmp_path)
    held[2].release(0)
    assert take(tmp_path).worker == held[2].worker


def test_no_host_slot_and_index_share_an_id():
    ids = {worker_id(h, s, i) for h in range(32) for s in ("blue", "green") for i in range(4)}
    assert ids == set(range(256))


def test_the_slots_of_a_host_do_not_share_an_id(tmp_path):
    assert take(tmp_path, "blue").worker != take(tmp_path, "green").worker


def test_a_returned_id_starts_after_the_millisecond_that_was_really_used(tmp_path):
    for index in range(4):
        one = take(tmp_path)
        one.reserve(10_000 + index)
        one.release(10_000 + index)
    assert take(tmp_path).used_until_ms == 10_000, "the one used longest ago comes first"


def test_the_id_of_a_killed_process_starts_after_its_reservation(tmp_path):
    held = [take(tmp_path) for _ in range(4)]
    for one in held:
        one.reserve(50_000)
    import os

    os.close(held[1]._fd)  # what the kernel does when the process dies
    again = take(tmp_path)
    assert again.worker == held[1].worker
    assert again.used_until_ms == 50_000 + RESERVE_AHEAD_MS
