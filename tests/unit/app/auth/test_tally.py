import threading

from app.auth.tally import Tally


def test_threads_that_add_at_the_same_time_lose_nothing():
    tally, total = Tally(), {}

    def add():
        for n in range(5_000):
            tally.add(n % 3)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for key, count in tally.take().items():
            total[key] = total.get(key, 0) + count
    for key, count in tally.take().items():
        total[key] = total.get(key, 0) + count
    assert sum(total.values()) == 20_000
    assert tally.take() == {}


def test_what_nobody_uses_any_more_costs_no_memory():
    tally = Tally()
    for key in range(1_000):
        tally.add(key)
    assert len(tally.take()) == 1_000
    for _ in range(3):
        tally.add("used")
        tally.take()
    assert len(tally._next) == 1
    tally.add(7)
    assert tally.take() == {7: 1}
