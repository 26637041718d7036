"""The use of keys, counted a minute."""

import pytest

from app.audit.key_use import KeyUse


class Log:
    def __init__(self) -> None:
        self.events, self.away = [], False

    def record(self, action, target, result, **more) -> None:
        detail = more["detail"]
        self.events.append(
            (target, more["workspace_id"], more["actor"], detail["minute"], detail["requests"])
        )

    def owners(self, key_ids):
        if self.away:
            raise ConnectionError
        return {7: (1, "shop"), 8: (2, "other")}


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def clock() -> list[float]:
    return [600.0]


@pytest.fixture
def use(log, clock) -> KeyUse:
    return KeyUse(log.record, lambda: clock[0], log.owners)


def test_a_keys_use_is_one_event_a_minute(use, log, clock):
    use.flush()
    for _ in range(1_000):
        use.used({7: 1})
    use.used({8: 5, 7: 2})
    clock[0] = 659.9
    use.flush()
    assert log.events == []
    clock[0] = 660.0
    use.used({7: 3})
    use.flush()
    assert log.events == [
        ("key/7", 1, "key/7:shop", 600, 1_002),
        ("key/8", 2, "key/8:other", 600, 5),
    ]
    use.flush(last=True)
    assert log.events[2:] == [("key/7", 1, "key/7:shop", 660, 3)]


def test_counts_wait_until_the_database_says_whose_the_keys_are(use, log, clock):
    use.used({7: 1})
    log.away, clock[0] = True, 660.0
    use.flush()
    use.used({7: 2})
    clock[0] = 720.0
    use.flush()
    log.away = False
    use.flush()
    assert [event[-2:] for event in log.events] == [(600, 1), (660, 2)]


def test_at_the_stop_an_event_without_a_workspace_is_better_than_none(use, log):
    log.away = True
    use.used({7: 4})
    use.flush(last=True)
    assert log.events == [("key/7", None, "key/7:", 600, 4)]
