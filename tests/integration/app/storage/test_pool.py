"""The pool has limits, says so in time, and tells its numbers."""

import threading
import time

import pytest
from sqlalchemy import text

from app.storage import database
from app.storage.database import PoolTimeoutError

pytestmark = pytest.mark.integration


def test_when_all_connections_are_in_use_a_clear_error_comes_within_the_time(url):
    waits = []
    engine = database.connect(
        url,
        pool_min=1,
        pool_max=3,
        acquire_s=0.5,
        on_acquire=lambda s, timed_out: waits.append((s, timed_out)),
    )
    held = [engine.connect() for _ in range(3)]
    began = time.monotonic()
    with pytest.raises(PoolTimeoutError, match=r"within 0\.5 s: 3 of 3 .* are in use"):
        database.ping(engine)
    assert 0.5 <= time.monotonic() - began < 1.5
    assert [timed_out for _, timed_out in waits] == [False, False, False, True]
    assert waits[-1][0] >= 0.5
    held.pop().close()
    database.ping(engine)
    for connection in held:
        connection.close()
    engine.dispose()


def test_numbers_follow_what_is_used_waits_and_is_kept(url):
    engine = database.connect(url, pool_min=2, pool_max=3, acquire_s=3)
    assert database.pool_numbers(engine) == {"in_use": 0, "idle": 0, "waiting": 0, "max": 3}
    held = [engine.connect() for _ in range(3)]
    waiter = threading.Thread(target=database.ping, args=(engine,))
    waiter.start()
    time.sleep(0.3)
    assert database.pool_numbers(engine) == {"in_use": 3, "idle": 0, "waiting": 1, "max": 3}
    for connection in held:
        connection.close()
    waiter.join()
    assert database.pool_numbers(engine) == {"in_use": 0, "idle": 2, "waiting": 0, "max": 3}
    engine.dispose()
    assert database.pool_numbers(engine)["idle"] == 0


def test_the_minimum_is_opened_at_once_when_asked(url):
    engine = database.connect(url, pool_min=4, pool_max=8)
    database.warm(engine, 4)
    assert database.pool_numbers(engine)["idle"] == 4
    engine.dispose()


def test_a_connection_that_died_is_replaced_before_a_caller_gets_it(server, url):
    engine = database.connect(url)
    database.ping(engine)
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plumbline-app' "
        f"AND datname = '{url.rpartition('/')[2]}'"
    )
    database.ping(engine)
    engine.dispose()


def test_a_process_that_stops_inside_a_transaction_loses_its_locks(url, monkeypatch):
    monkeypatch.setattr(database, "IDLE_IN_TRANSACTION_MS", 300)
    engine = database.connect(url)
    stopped = engine.connect()
    stopped.execute(text("LOCK TABLE segments IN ACCESS EXCLUSIVE MODE"))
    with engine.connect() as other:
        assert other.execute(text("SELECT count(*) FROM segments")).scalar_one() == 0
    stopped.invalidate()
    engine.dispose()


@pytest.mark.parametrize(("least", "most"), [(0, 5), (6, 5)])
def test_limits_that_make_no_sense_are_refused(least, most):
    with pytest.raises(ValueError, match="allowed 1 <= pool_min <= pool_max"):
        database.connect("postgresql://x", pool_min=least, pool_max=most)
