"""The queue on a real Postgres: who gets a job, how long, and how often."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.jobs.bell import PostgresBell
from app.jobs.export import KIND
from app.jobs.queue import JobQueue, TooManyJobsError

pytestmark = pytest.mark.integration


@pytest.fixture
def quick(engine):
    """A queue whose leases run out soon."""
    return JobQueue(engine, KIND, lease_s=0.3, most_attempts=2)


def test_each_job_goes_to_one_worker_however_many_ask_at_once(queue, workspace):
    jobs = {queue.submit(workspace, {"number": number}) for number in range(20)}
    with ThreadPoolExecutor(8) as pool:
        taken = [one for one in pool.map(lambda number: queue.take(f"worker-{number}"), range(30)) if one]
    # A worker that met others' locks may have gone away empty; it asks again.
    while one := queue.take("worker-again"):
        taken.append(one)
    assert sorted(one.id for one in taken) == sorted(jobs)
    assert len({one.id for one in taken}) == len(taken)


def test_the_oldest_job_is_taken_first(queue, workspace):
    jobs = [queue.submit(workspace, {}) for _ in range(3)]
    assert [queue.take("me").id for _ in range(3)] == jobs


def test_a_job_stays_its_holders_while_it_is_renewed_and_is_anothers_when_it_is_not(quick, workspace):
    job = quick.submit(workspace, {})
    quick.take("first")
    for done in range(4):
        time.sleep(0.15)
        assert quick.renew(job, "first", done)
        assert quick.take("second") is None
    assert quick.find(workspace, job).result["done"] == 3
    time.sleep(0.4)
    assert quick.take("second").attempt == 2
    assert not quick.renew(job, "first", 9)
    assert not quick.finish(job, "first", {"key": "late"})
    assert not quick.fail(job, "first", "late")
    assert not quick.put_back(job, "first")
    assert quick.finish(job, "second", {"key": "good"})
    assert quick.find(workspace, job).result == {"key": "good"}


def test_a_job_whose_workers_all_die_fails_at_last(quick, workspace):
    job = quick.submit(workspace, {})
    for _ in range(2):
        assert quick.take("doomed")
        time.sleep(0.4)
    assert quick.take("doomed") is None
    seen = quick.find(workspace, job)
    assert (seen.state, seen.attempts, seen.result) == ("failed", 2, {})
    assert "died" in seen.error


def test_an_attempt_that_failed_is_made_again_after_its_time_and_only_so_often(quick, workspace):
    job = quick.submit(workspace, {})
    quick.take("me")
    assert quick.put_back(job, "me", error="no luck", after_s=0.3)
    assert quick.take("me") is None
    assert quick.find(workspace, job).error == "no luck"
    time.sleep(0.4)
    assert quick.take("me").attempt == 2
    assert quick.put_back(job, "me", error="no luck again", after_s=0.0)
    seen = quick.find(workspace, job)
    assert (seen.state, seen.error) == ("failed", "no luck again")
    assert seen.finished_at is not None


def test_a_stopped_attempt_does_not_count(quick, workspace):
    job = quick.submit(workspace, {})
    for _ in range(5):
        assert quick.take("me").attempt == 1
        assert quick.put_back(job, "me")


def test_a_workspace_may_have_so_many_open_jobs_also_when_they_come_at_once(queue, workspace):
    def one(_):
        try:
            return queue.submit(workspace, {}, most_open=5)
        except TooManyJobsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [job for job in pool.map(one, range(20)) if job]
    assert len(made) == 5
    queue.finish(queue.take("me").id, "me", {})
    assert one(0)


def test_old_jobs_are_forgotten_and_say_what_they_made(queue, workspace):
    old, waiting = queue.submit(workspace, {}), queue.submit(workspace, {})
    queue.take("me")
    queue.finish(old, "me", {"key": "file"})
    assert queue.sweep(60) == []
    assert queue.sweep(0) == [{"key": "file"}]
    assert queue.find(workspace, old) is None
    assert queue.counts() == {"queued": 1, "running": 0, "done": 0, "failed": 0}
    assert queue.find(workspace, waiting).state == "queued"


def test_a_new_job_wakes_a_worker_and_a_stop_does_so_soon(queue, workspace, postgres):
    stopping = []
    bell = PostgresBell(postgres.url, lambda: bool(stopping))
    try:
        bell.wait(0.01)  # listens from now on
        queue.submit(workspace, {})
        assert waited_s(bell, 20) < 5
        assert 0.3 <= waited_s(bell, 0.4) < 5
        stopping.append(True)
        assert waited_s(bell, 20) < 5
    finally:
        bell.close()


def test_without_the_database_the_bell_only_waits():
    assert 0.3 <= waited_s(PostgresBell("postgresql://nobody@127.0.0.1:9/ids", lambda: False), 0.4) < 5


def waited_s(bell, timeout_s):
    began = time.monotonic()
    bell.wait(timeout_s)
    return time.monotonic() - began
