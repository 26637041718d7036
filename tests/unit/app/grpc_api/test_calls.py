"""What a client gets over a real connection."""

import queue

import grpc
import pytest

from app.grpc_api.calls import Calls
from app.grpc_api.ids_pb2 import DecodeRequest, GenerateRequest, LeaseRequest
from app.grpc_api.ids_pb2_grpc import IdsStub
from app.grpc_api.refusals import Refusal

from .conftest import MADE_MS, WITH_KEY

OK_AND_ON = 5


def ids(response):
    return [value for block in response.blocks for value in range(block.first, block.first + block.more + 1)]


def refused(call):
    """(code, slug, trailing metadata) of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    metadata = dict(caught.value.trailing_metadata())
    return caught.value.code(), metadata.get("problem"), metadata


def test_ids_come_as_runs_of_consecutive_numbers_and_no_count_means_one(stub):
    answer = stub.Generate(GenerateRequest(tag="orders", count=1_000), metadata=WITH_KEY, timeout=5)
    assert ids(answer) == list(range(1, 1_001))
    assert answer.algorithm == "segment"
    assert answer.ByteSize() < 40
    assert ids(stub.Generate(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=5)) == [1_001]


def test_uuids_come_as_16_octets_each_also_100_000_of_them(stub):
    answer = stub.Generate(GenerateRequest(tag="uuids", count=100_000), metadata=WITH_KEY, timeout=10)
    assert answer.uuids == bytes(range(16)) * 100_000
    assert not answer.blocks


def test_a_lease_and_a_decoded_id_tell_what_they_are(stub):
    lease = stub.Lease(LeaseRequest(tag="orders", count=500), metadata=WITH_KEY, timeout=5)
    assert ids(lease) == list(range(1, 501))
    assert len(ids(stub.Lease(LeaseRequest(tag="orders"), metadata=WITH_KEY, timeout=5))) == 1_000
    told = stub.Decode(DecodeRequest(id="42"), metadata=WITH_KEY, timeout=5)
    assert (told.kind, told.unix_ms, told.worker, told.version) == ("int64", MADE_MS, 3, 0)
    assert not told.HasField("sequence")


@pytest.mark.parametrize(
    ("metadata", "slug"),
    [
        ((), "key-missing"),
        ((("authorization", "Basic abc"),), "key-missing"),
        ((("authorization", "Bearer "),), "key-missing"),
        ((("authorization", "Bearer plk_wrong"),), "key-unknown"),
    ],
)
def test_without_a_valid_key_nothing_is_issued(stub, world, metadata, slug):
    code, told, _ = refused(
        lambda: stub.Generate(GenerateRequest(tag="orders"), metadata=metadata, timeout=5)
    )
    assert (code, told) == (grpc.StatusCode.UNAUTHENTICATED, slug)
    assert world.next_id == 1


def test_a_key_without_the_scope_is_refused(stub, world):
    world.scopes = frozenset({"read"})
    code, slug, _ = refused(lambda: stub.Decode(DecodeRequest(id="1"), metadata=WITH_KEY, timeout=5))
    assert (code, slug) == (grpc.StatusCode.PERMISSION_DENIED, "scope-missing")


def test_a_key_over_its_limit_is_told_when_to_come_back(stub, world):
    world.wait_s = 2.2
    code, slug, metadata = refused(
        lambda: stub.Generate(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=5)
    )
    assert (code, slug) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate-limited")
    assert metadata["retry-after"] == "3"
    assert metadata["grpc-retry-pushback-ms"] == "2200"


@pytest.mark.parametrize(
    ("tag", "count", "refusal"),
    [
        ("orders", 0, (grpc.StatusCode.INVALID_ARGUMENT, "bad-count")),
        ("orders", 100_001, (grpc.StatusCode.INVALID_ARGUMENT, "bad-count")),
        ("nobody", 1, (grpc.StatusCode.NOT_FOUND, "unknown-tag")),
        ("away", 1, (grpc.StatusCode.UNAVAILABLE, "ids-unavailable")),
        ("broken", 1, (grpc.StatusCode.INTERNAL, "internal-error")),
    ],
)
def test_each_problem_has_its_code_and_its_slug_and_is_counted(stub, world, tag, count, refusal):
    found = refused(
        lambda: stub.Generate(GenerateRequest(tag=tag, count=count), metadata=WITH_KEY, timeout=5)
    )
    assert found[:2] == refusal
    ours = refusal[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
    assert world.counted == [("Generate", "error" if ours else "refused")]


def test_a_mistake_of_ours_is_told_to_the_log_and_not_to_the_caller(stub, world):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Generate(GenerateRequest(tag="broken"), metadata=WITH_KEY, timeout=5)
    assert "cause" not in caught.value.details()
    assert str(world.mistakes[0][1]) == "the cause, for the log only"


def test_a_request_beyond_the_largest_size_is_refused_before_it_is_read(stub, world):
    code, _, _ = refused(
        lambda: stub.Generate(GenerateRequest(tag="x" * 70_000), metadata=WITH_KEY, timeout=5)
    )
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert world.counted == []


def test_a_call_that_waited_longer_than_its_caller_issues_nothing(serve, connect, world):
    stub = IdsStub(connect(serve(threads=1)))
    world.proceed.clear()
    held = stub.Generate.future(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=10)
    assert world.drawing.wait(5)
    late = refused(lambda: stub.Generate(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=0.2))
    assert late[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    world.proceed.set()
    assert ids(held.result()) == [1]
    assert ids(stub.Generate(GenerateRequest(tag="orders"), metadata=WITH_KEY, timeout=5)) == [2]


def test_calls_beyond_what_may_wait_are_refused_at_once(serve, connect, world):
    stub = IdsStub(connect(serve(threads=1, waiting=1)))
    world.proceed.clear()
    request = GenerateRequest(tag="orders")
    calls = [stub.Generate.future(request, metadata=WITH_KEY, timeout=10) for _ in range(OK_AND_ON)]
    done = queue.SimpleQueue()
    for call in calls:
        call.add_done_callback(done.put)
    early = [done.get(timeout=5) for _ in range(OK_AND_ON - 2)]
    assert {call.code() for call in early} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    world.proceed.set()
    assert sorted(ids(call.result())[0] for call in calls if call not in early) == [1, 2]


def test_a_deadline_that_passed_before_the_work_began_issues_nothing(world):
    for late in (Calls(world.services).generate, Calls(world.services).generate_in_stream):
        with pytest.raises(Refusal) as caught:
            late(GenerateRequest(tag="orders"), WITH_KEY, 0.0)
        assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert world.next_id == 1
    assert [outcome for _, outcome in world.counted] == ["error", "error"]
