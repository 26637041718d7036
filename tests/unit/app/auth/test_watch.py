import time

from app.auth import keys
from app.auth.watch import KeyWatch


def until(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


def test_the_watch_ticks_until_stopped_and_then_tells_what_is_left(world):
    token = keys.make()
    world.database.add(token)
    directory = world.directory()
    watch = KeyWatch(directory, None, on_error=print, tick_s=0.01)
    watch.start()
    assert until(lambda: len(world.database.looked) > 2)
    directory.authenticate(token)
    assert world.used == []
    watch.stop()
    assert world.used == [{1: 1}] and sum(hits.get("miss", 0) for hits in world.hits) == 1


def test_use_is_told_each_minute(world):
    token = keys.make()
    world.database.add(token)
    directory = world.directory()
    directory.authenticate(token)
    watch = KeyWatch(directory, None, on_error=print, tick_s=0.01, monotonic=world.monotonic)
    watch.start()
    assert until(lambda: len(world.database.looked) > 2) and world.used == []
    world.monotonic.now += 60
    assert until(lambda: world.used == [{1: 1}])
    watch.stop()


def test_a_callback_that_fails_is_told_and_the_watch_goes_on(world):
    token, errors = keys.make(), []
    world.database.add(token)
    directory = world.directory()

    def fails(hits):
        raise ValueError("no room")

    directory._on_hits = fails
    watch = KeyWatch(directory, None, on_error=errors.append, tick_s=0.01)
    watch.start()
    directory.authenticate(token)
    assert until(lambda: errors)
    looked = len(world.database.looked)
    assert until(lambda: len(world.database.looked) > looked + 2)
    watch.stop()
