"""The worker's loop over a queue kept in memory. The queue itself is tested on a real Postgres."""

import json
import time
import urllib.request
import uuid

import pytest
from sqlalchemy.exc import OperationalError

from app.ids.model import Batch, IdsUnavailableError
from app.jobs import status as watching
from app.jobs.__main__ import main
from app.jobs.export import ImpossibleError
from app.jobs.queue import Taken
from app.jobs.store import LocalStore
from app.jobs.worker import Told, Worker
from app.storage.segments import SegmentExhaustedError

AWAY = OperationalError("SELECT", {}, Exception("away"))


class Queue:
    """One job that waits, and what was told of it."""

    lease_s = 0.3

    def __init__(self, **request) -> None:
        self.job = Taken(uuid.uuid4(), 1, {"tag": "orders", "count": 5, **request}, 2)
        self.waiting, self.mine, self.told, self.swept = [self.job], True, [], []
        self.renewed = 0
        self.away = 0

    def take(self, holder):
        if self.away:
            self.away -= 1
            raise AWAY
        return self.waiting.pop() if self.waiting else None

    def renew(self, job, holder, done):
        self.renewed += 1
        return self.mine

    def finish(self, job, holder, result):
        self.told.append(("done", result))
        return self.mine

    def fail(self, job, holder, error):
        self.told.append(("failed", error))
        return self.mine

    def put_back(self, job, holder, *, error=None, after_s=0.0):
        self.told.append(("put_back", error, after_s))
        return self.mine

    def sweep(self, keep_s):
        found, self.swept = self.swept, []
        return found


class Source:
    """`draws`: what drawing does."""

    def __init__(self, draw) -> None:
        self._draw = draw

    def source(self, workspace_id, name, total):
        return self._draw


def numbers(count):
    return Batch("int64", (range(1, 1 + count),))


def raising(error):
    def draw(count):
        raise error

    return draw


class Silent:
    def __init__(self) -> None:
        self.rung = 0
        self.worker = None

    def wait(self, timeout_s):
        self.rung += 1
        self.worker.stop()


@pytest.fixture
def make(tmp_path):
    def new(queue, draw=numbers, **more):
        bell = Silent()
        worker = Worker(queue, Source(draw), LocalStore(tmp_path / "files"), bell, holder="me", **more)
        bell.worker = worker
        return worker

    return new


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "files").iterdir())


def test_a_job_that_is_done_has_its_file_and_is_counted(make, tmp_path):
    queue, audited = Queue(), []
    worker = make(queue, audit=lambda *what: audited.append(what))
    assert worker.work_once()
    ((_, result),) = queue.told
    assert files(tmp_path) == [result["key"]]
    assert (worker.told.done, worker.told.ids, worker.told.job) == (1, 5, None)
    assert audited == [("export.run", str(queue.job.id), "done")]
    assert not worker.work_once()


@pytest.mark.parametrize(
    "error", [ImpossibleError("tag: 'x' is disabled"), SegmentExhaustedError("tag x: IDs are used up")]
)
def test_what_will_never_work_fails_with_its_reason(make, tmp_path, error):
    queue = Queue()
    make(queue, raising(error)).work_once()
    assert queue.told == [("failed", str(error))]
    assert files(tmp_path) == []


def test_a_request_that_nobody_understands_fails(make):
    queue = Queue(count="many")
    make(queue).work_once()
    assert queue.told[0][0] == "failed"


@pytest.mark.parametrize(
    "error", [IdsUnavailableError("no"), AWAY, OSError("disk full"), RuntimeError("bug")]
)
def test_what_may_pass_is_put_back_for_later_without_its_inner_cause(make, tmp_path, error):
    queue = Queue()
    worker = make(queue, raising(error))
    worker.work_once()
    ((_, told, after_s),) = queue.told
    assert type(error).__name__ in told
    assert "disk full" not in told
    assert after_s > 0
    assert files(tmp_path) == []
    assert worker.told.put_back == 1


def test_a_job_that_is_another_workers_by_now_leaves_no_file(make, tmp_path):
    queue = Queue()
    queue.mine = False
    worker = make(queue)
    worker.work_once()
    assert files(tmp_path) == []
    assert (worker.told.lost, worker.told.done) == (1, 0)


def test_a_worker_that_lost_its_lease_stops_drawing_and_changes_nothing(make, tmp_path):
    queue = Queue(count=10_000_000)
    queue.mine = False
    drawn = []

    def draw(count):
        drawn.append(count)
        time.sleep(0.02)
        return numbers(count)

    worker = make(queue, draw)
    worker.work_once()
    assert len(drawn) < 100
    assert queue.told == []
    assert (worker.told.lost, files(tmp_path)) == (1, [])


def test_a_lease_that_can_not_be_renewed_in_time_counts_as_lost(make):
    queue = Queue(count=10_000_000)

    def renew(job, holder, done):
        raise AWAY

    queue.renew = renew
    make(queue, lambda count: (time.sleep(0.02), numbers(count))[1]).work_once()
    assert queue.told == []


def test_a_stopping_worker_finishes_within_its_grace_or_puts_the_job_back(make, tmp_path):
    queue = Queue()
    worker = make(queue, grace_s=10)
    worker.stop()
    worker.work_once()
    assert queue.told[0][0] == "done"
    queue = Queue()
    worker = make(queue, grace_s=0)
    worker.stop()
    worker.work_once()
    assert queue.told == [("put_back", None, 0.0)]


def test_the_loop_waits_out_a_database_that_is_away(make):
    queue = Queue()
    queue.away = 1
    worker = make(queue)
    rounds = []
    worker._bell.wait = lambda timeout_s: (rounds.append(timeout_s), len(rounds) == 2 and worker.stop())
    worker.work()
    assert worker.told.done == 1
    assert len(rounds) == 2
    assert "OperationalError" in worker.told.last_error


def test_files_of_forgotten_jobs_are_removed(make, tmp_path):
    queue = Queue()
    worker = make(queue)
    worker.work_once()
    queue.swept = [{"key": files(tmp_path)[0]}, {}]
    worker.work()
    assert files(tmp_path) == []


def test_the_health_file_tells_what_the_worker_does_and_grows_old_when_it_hangs(tmp_path):
    told, alive = Told(done=3, job="x"), [True]
    path = tmp_path / "run" / "jobs.json"
    status = watching.Status(path, told, alive=lambda: alive[0], queue_counts=lambda: {"queued": 2})
    status.start()
    assert watching.age_s(path, time.time()) < 5
    assert json.loads(path.read_text())["done"] == 3
    assert 'idgen_jobs{state="queued"} 2' in status.metrics()
    alive[0] = False
    time.sleep(2.2)
    assert watching.age_s(path, time.time()) > 1
    status.stop()
    assert watching.age_s(path, time.time()) is None
    path.write_text("half a file")
    assert watching.age_s(path, time.time()) is None


def test_metrics_are_there_while_the_database_is_away_and_health_tells_a_stuck_worker(tmp_path):
    def away():
        raise AWAY

    status = watching.Status(tmp_path / "jobs.json", Told(), alive=lambda: True, queue_counts=away)
    server = watching.serve(status, "127.0.0.1", 0, lambda: False)
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert 'idgen_jobs_ended_total{result="done"} 0' in text
        assert "state=" not in text
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{url}/healthz", timeout=5)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "given", [["work", "--lease-s=0"], ["work", "--metrics=here"], ["work", "--poll-s=x"], []]
)
def test_a_wrong_option_is_refused(given, capsys):
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 2


def test_settings_that_are_missing_are_named(monkeypatch, capsys):
    for key in ("SLOT", "VERSION", "DATABASE_URL", "RUNTIME_DIR", "ETCD_URL"):
        monkeypatch.delenv(f"PLUMBLINE_{key}", raising=False)
    assert main(["work"]) == 2
    assert "PLUMBLINE_DATABASE_URL" in capsys.readouterr().err
