import pytest
import redis
from redis.exceptions import RedisClusterException

from app.cache import connect
from app.cache.address import parse
from app.cache.breaker import Breaker


def test_a_value_comes_back_until_its_time_is_over(cache, clock):
    assert cache.start() and cache.put("a", b"1", 10) and cache.get("a") == b"1"
    clock.now += 10
    assert cache.get("a") is None


def test_of_many_who_put_new_one_succeeds(cache):
    cache.start()
    assert [cache.put_new("a", b"%d" % n, 10) for n in range(3)] == [True, False, False]
    assert cache.get("a") == b"0"


def test_many_values_go_and_come_in_parts_and_in_order(cache, server, monkeypatch):
    monkeypatch.setattr(connect, "PIPELINE", 3)
    cache.start()
    assert cache.put_many({f"k{n}": (b"%d" % n, 10) for n in range(7)}) == 7
    assert cache.get_many(["k6", "none", "k0", "k3"]) == [b"6", None, b"0", b"3"]
    server.away = True
    assert cache.get_many(["k6", "k0", "k3", "k1"]) == [None] * 4
    assert cache.put_many({"a": (b"", 1)}) == 0


def test_redis_away_raises_nothing_and_after_the_first_call_costs_nothing(cache, server, told):
    cache.start()
    server.away = True
    assert cache.get("a") is None
    calls = server.calls
    for _ in range(100):
        assert cache.get("a") is None and not cache.put("a", b"", 1) and not cache.put_new("a", b"", 1)
        assert not cache.forget("a") and not cache.publish("c", b"m")
    assert server.calls == calls
    assert told.count(("get", "error")) == 1 and told.count(("get", "skipped")) == 100
    assert [each for each in told if each[0] is False] == [(False, "ConnectionError: refused")]


def test_it_comes_back_by_a_probe_with_a_fresh_client_not_by_a_request(cache, server, clock, told):
    cache.start()
    server.away = True
    cache.get("a")
    clock.now += connect.PAUSE_S
    assert cache.get("a") is None and server.clients == 2, "the probe failed too"
    server.away = False
    assert cache.get("a") is None and not cache.up, "within the pause nobody tries"
    clock.now += connect.PAUSE_S
    assert cache.get("a") is None, "this call only has the probe started"
    assert cache.up and server.clients == 3 and cache.put("a", b"1", 1)
    assert [each[0] for each in told if isinstance(each[0], bool)] == [True, False, True]


def test_redis_that_is_away_at_the_start_is_found_later(cache, server, clock):
    server.away = True
    assert not cache.start() and cache.get("a") is None
    server.away = False
    clock.now += connect.PAUSE_S
    cache.get("a")
    assert cache.up


def test_it_comes_back_without_any_request(cache, server, clock):
    cache.start()
    server.away = True
    cache.get("a")
    server.away = False
    cache.wake()
    assert not cache.up
    clock.now += connect.PAUSE_S
    cache.wake()
    assert cache.up
    clients = server.clients
    clock.now += connect.PAUSE_S
    cache.wake()
    assert server.clients == clients


def test_a_refused_write_doesnt_stop_the_reads(cache, server):
    cache.start()
    cache.put("a", b"1", 10)
    server.full = True
    assert not cache.put("b", b"2", 10)
    assert cache.get("a") == b"1"


def test_a_call_that_fails_late_on_an_old_client_doesnt_open_the_breaker_again(cache, server, clock):
    cache.start()
    old = cache._client

    def fails_when_a_new_client_is_there(client):
        cache._breaker.failed()
        clock.now += connect.PAUSE_S
        cache.get("a")
        assert cache._client is not old
        raise redis.ConnectionError("late")

    cache._call("get", fails_when_a_new_client_is_there)
    assert cache.up


def test_an_executor_that_is_shut_down_fails_no_request(server, clock):
    def spawn(probe):
        raise RuntimeError("cannot schedule new futures after shutdown")

    cache = connect.Cache(parse("redis://h"), clock, spawn=spawn, new_client=server.client)
    assert cache.get("a") is None and not cache.up


def test_a_closed_cache_answers_nothing_and_connects_no_more(cache, server, clock):
    cache.start()
    client = cache._client
    cache.close()
    clock.now += 60
    assert cache.get("a") is None and client.closed and server.clients == 1
    cache._probe()
    assert not cache.up


def test_the_breaker_lets_one_caller_in_each_pause(clock):
    breaker = Breaker(clock, 2.0)
    assert [breaker.probe_due() for _ in range(3)] == [True, False, False]
    clock.now += 2
    assert [breaker.probe_due() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.closed and not breaker.probe_due()
    assert breaker.failed() and not breaker.failed() and not breaker.closed


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://u:p@127.0.0.1:1/2", redis.Redis),
        ("rediss://127.0.0.1:1?ca=/ca.pem", redis.Redis),
        ("redis+sentinel://:p@127.0.0.1:1/main?sentinel_password=q", redis.Redis),
    ],
)
def test_each_mode_has_short_timeouts_and_never_waits_twice(url, kind):
    address = parse(url)
    made = connect.client(address)
    options = made.connection_pool.connection_kwargs
    assert isinstance(made, kind)
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.25, 0.25)
    assert (options["username"], options["password"], options["db"]) == (
        address.username,
        address.password,
        address.database,
    )
    assert options["retry"].get_retries() <= 1
    assert redis.TimeoutError not in options["retry"]._supported_errors
    assert options.get("ssl_ca_certs") == address.ca
    if address.mode == "sentinel":
        sentinel = made.connection_pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
        assert (sentinel["password"], sentinel["socket_timeout"]) == ("q", 0.25)
        assert sentinel["retry"].get_retries() == 0


def test_a_cluster_that_isnt_there_is_an_error_at_once():
    with pytest.raises(RedisClusterException):
        connect.client(parse("redis+cluster://127.0.0.1:1,127.0.0.1:2"))
