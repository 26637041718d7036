"""One holder at a time, a dead one loses the lock, and a token is never given twice."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from release.lock import FileLock, LockHeld, LockLost, start_ticks


@pytest.fixture
def somebody():
    """Makes live processes, and ends them."""
    made = []

    def make():
        made.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_and_told_who_holds_it_since_when(tmp_path, somebody):
    lock, other = FileLock(tmp_path), somebody()
    lock.take(os.getpid(), "r1", 1_800_000_000.0)
    with pytest.raises(
        LockHeld, match=rf"process {os.getpid()}, for release r1, since 2027-01-15 08:00:00 UTC"
    ):
        lock.take(other.pid, "r2", 1_800_000_001.0)


def test_a_holder_killed_with_sigkill_loses_the_lock_and_that_is_said(tmp_path, somebody):
    lock, other = FileLock(tmp_path), somebody()
    first = lock.take(other.pid, "r1", 1.0)
    other.send_signal(signal.SIGKILL)
    other.wait()
    taken = lock.take(os.getpid(), "r1", 2.0)
    assert taken.from_dead == first.holder
    assert taken.holder.token > first.holder.token
    with pytest.raises(LockLost):
        lock.check(first.holder.token)
    lock.check(taken.holder.token)


def test_a_killed_holder_that_nobody_waited_for_counts_as_dead(tmp_path, somebody):
    lock, other = FileLock(tmp_path), somebody()
    lock.take(other.pid, "r1", 1.0)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert start_ticks(other.pid) is None
    assert lock.take(os.getpid(), "r1", 2.0).from_dead is not None


def test_a_process_number_used_again_is_not_the_holder(tmp_path, somebody):
    lock, other = FileLock(tmp_path), somebody()
    lock.take(other.pid, "r1", 1.0)
    file = tmp_path / "lock.json"
    file.write_text(file.read_text().replace(f'"start_ticks": {start_ticks(other.pid)}', '"start_ticks": 1'))
    assert lock.take(os.getpid(), "r2", 2.0).from_dead is not None


def test_the_holder_may_ask_again_and_keeps_its_token(tmp_path):
    lock = FileLock(tmp_path)
    first = lock.take(os.getpid(), "r1", 1.0)
    again = lock.take(os.getpid(), "r1", 2.0)
    assert (again.holder.token, again.holder.since) == (first.holder.token, 1.0)


def test_tokens_grow_also_after_the_lock_was_given_back(tmp_path):
    lock = FileLock(tmp_path)
    tokens = []
    for _ in range(3):
        tokens.append(lock.take(os.getpid(), "r", 1.0).holder.token)
        lock.release(tokens[-1])
    assert tokens == [1, 2, 3]
    assert lock.holder() is None


def test_giving_back_an_old_token_leaves_the_new_holder_alone(tmp_path, somebody):
    lock, other = FileLock(tmp_path), somebody()
    old = lock.take(os.getpid(), "r1", 1.0).holder.token
    lock.release(old)
    new = lock.take(other.pid, "r2", 2.0).holder
    lock.release(old)
    assert lock.holder() == new


def test_of_many_who_ask_at_once_one_gets_it(tmp_path, somebody):
    lock = FileLock(tmp_path)
    pids = [somebody().pid for _ in range(6)]

    def attempt(pid):
        try:
            return lock.take(pid, "r", 1.0).holder.pid
        except LockHeld:
            return None

    with ThreadPoolExecutor(6) as pool:
        got = [pid for pid in pool.map(attempt, pids) if pid]
    assert len(got) == 1


def test_files_are_for_their_owner_alone(tmp_path):
    FileLock(tmp_path / "locks").take(os.getpid(), "r", 1.0)
    assert oct((tmp_path / "locks" / "lock.json").stat().st_mode)[-3:] == "600"
