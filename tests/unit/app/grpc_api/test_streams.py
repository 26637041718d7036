"""Many batches over one call."""

import queue
import time

import grpc
import pytest

from app.grpc_api.ids_pb2 import GenerateRequest
from app.grpc_api.ids_pb2_grpc import IdsStub

from .conftest import WITH_KEY
from .test_calls import ids


class Stream:
    """A stream that sends when told to."""

    def __init__(self, stub, metadata=WITH_KEY) -> None:
        self._requests = queue.SimpleQueue()
        self.replies = stub.GenerateStream(iter(self._requests.get, None), metadata=metadata, timeout=20)

    def ask(self, tag="orders", count=1):
        self._requests.put(GenerateRequest(tag=tag, count=count))
        return next(self.replies)

    def close(self) -> None:
        self._requests.put(None)


def test_replies_come_in_the_order_of_the_requests(stub):
    counts = [3, 1, 1_000, 7]
    requests = [GenerateRequest(tag="orders", count=count) for count in counts]
    replies = list(stub.GenerateStream(iter(requests), metadata=WITH_KEY, timeout=10))
    assert [len(ids(reply.ids)) for reply in replies] == counts
    issued = [value for reply in replies for value in ids(reply.ids)]
    assert issued == list(range(1, sum(counts) + 1))


def test_a_refused_batch_is_answered_by_a_problem_and_the_stream_goes_on(stub, world):
    stream = Stream(stub)
    assert stream.ask("nobody").problem.slug == "unknown-tag"
    away = stream.ask("away").problem
    assert (away.code, away.retry_after_ms) == (grpc.StatusCode.UNAVAILABLE.value[0], 1_500)
    world.wait_s = 0.5
    assert stream.ask().problem.slug == "rate-limited"
    world.wait_s = 0.0
    assert ids(stream.ask().ids) == [1]
    stream.close()
    assert list(stream.replies) == []


def test_a_stream_without_a_key_ends_at_its_first_batch(stub):
    with pytest.raises(grpc.RpcError) as caught:
        Stream(stub, metadata=()).ask()
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert dict(caught.value.trailing_metadata())["problem"] == "key-missing"


def test_a_revoked_key_ends_an_open_stream(stub, world):
    stream = Stream(stub)
    assert ids(stream.ask().ids) == [1]
    world.key_holds = False
    with pytest.raises(grpc.RpcError) as caught:
        stream.ask()
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_streams_never_take_the_threads_that_single_calls_need(serve, connect):
    stub = IdsStub(connect(serve(threads=2)))
    first = Stream(stub)
    assert ids(first.ask().ids) == [1]
    with pytest.raises(grpc.RpcError) as caught:
        Stream(stub).ask()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata())["problem"] == "too-many-streams"
    assert ids(stub.Generate(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=5)) == [2]
    first.close()
    assert list(first.replies) == []
    assert ids(Stream(stub).ask().ids) == [3]


def test_a_stop_answers_what_was_begun_and_does_not_wait_for_idle_streams(serve, connect, world):
    server = serve()
    stub = IdsStub(connect(server))
    idle = Stream(stub)
    assert ids(idle.ask().ids) == [1]
    world.drawing.clear()
    world.proceed.clear()
    held = stub.Generate.future(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=10)
    assert world.drawing.wait(5)
    world.proceed.set()
    started = time.monotonic()
    assert server.stop(grace_s=10)
    assert time.monotonic() - started < 5
    assert ids(held.result()) == [2]
    with pytest.raises(grpc.RpcError) as caught:
        next(idle.replies)
    assert caught.value.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_a_stop_lets_a_stream_have_the_answer_that_it_is_owed(serve, connect, world):
    server = serve()
    stream = Stream(IdsStub(connect(server)))
    world.proceed.clear()
    stream._requests.put(GenerateRequest(tag="orders", count=5))
    assert world.drawing.wait(5)
    ended = server._server.stop(10)
    server._streams.drain()
    world.proceed.set()
    assert ids(next(stream.replies).ids) == [1, 2, 3, 4, 5]
    with pytest.raises(grpc.RpcError) as caught:
        next(stream.replies)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert ended.wait(5)
