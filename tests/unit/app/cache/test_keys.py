import orjson
import pytest

from app.auth import keys as tokens
from app.auth.principal import KeyRecord, Principal
from app.cache.keys import HOLD_S, TTL_S, KeyCache, key

GOOD = KeyRecord(Principal(7, 1, "default", frozenset({"issue", "read"}), "shop"), 2e9)
TOKEN = tokens.make()
SHA = tokens.digest(TOKEN)


@pytest.fixture
def known(cache):
    cache.start()
    return KeyCache(cache)


def test_a_record_comes_back_as_it_was(known):
    assert known.put(SHA, GOOD) and known.get(SHA) == GOOD
    assert known.get_many([b"x" * 32, SHA]) == [None, GOOD]


def test_neither_the_name_nor_the_value_holds_the_key(known, server):
    known.put(SHA, GOOD)
    ((name, (value, _)),) = server.values.items()
    assert name == f"key:{SHA.hex()}"
    assert TOKEN not in name + value.decode() and TOKEN[4:] not in name + value.decode()


def test_what_was_read_before_a_revocation_and_comes_after_it_changes_nothing(known, clock):
    known.put(SHA, GOOD)
    known.mark_revoked(SHA)
    assert not known.put(SHA, GOOD) and known.get(SHA).revoked
    clock.now += TTL_S
    assert not known.put(SHA, GOOD), "the mark outlives every value that is older"


def test_a_revoked_record_is_stored_as_a_mark(known):
    known.put(SHA, GOOD)
    known.put(SHA, KeyRecord(GOOD.principal, None, revoked=True))
    assert known.get(SHA) == KeyRecord(GOOD.principal, None, revoked=True)


def test_a_changed_key_is_forgotten_and_for_a_moment_not_stored(known, clock):
    known.put(SHA, GOOD)
    known.hold(SHA)
    assert known.get(SHA) is None and not known.put(SHA, GOOD)
    clock.now += HOLD_S
    assert known.put(SHA, GOOD) and known.get(SHA) == GOOD


@pytest.mark.parametrize("text", [b"not json", b"[]", b'{"id": 1}', orjson.dumps({"id": 1, "scopes": 5})])
def test_a_value_that_isnt_ours_counts_as_none(known, cache, text):
    cache.put(key(SHA), text, 10)
    assert known.get(SHA) is None
