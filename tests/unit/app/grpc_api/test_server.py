"""Where the server listens, and what it tells without a key: health and its own description."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from app.grpc_api import bind, generate
from app.grpc_api.ids_pb2 import GenerateRequest
from app.grpc_api.ids_pb2_grpc import IdsStub
from app.grpc_api.server import SERVICE, GrpcServer

from .conftest import WITH_KEY
from .test_calls import ids

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_the_generated_code_is_what_the_definition_gives(tmp_path):
    for name, content in generate.generate(tmp_path).items():
        assert (generate.HERE / name).read_text() == content, f"{name}: run python -m app.grpc_api.generate"


def test_health_follows_the_readiness_of_the_process(serve, connect, world):
    server = serve()
    health = health_pb2_grpc.HealthStub(connect(server))
    seen = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    assert next(seen).status == SERVING
    world.not_ready = "no algorithm can issue"
    assert next(seen).status == NOT_SERVING
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == NOT_SERVING
    world.not_ready = None
    assert next(seen).status == SERVING
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_stopping_server_says_that_it_does_not_serve(serve, connect, world):
    server = serve()
    health = health_pb2_grpc.HealthStub(connect(server))
    seen = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
    assert next(seen).status == SERVING
    server._readiness.stop()
    assert next(seen).status == NOT_SERVING


def test_a_process_that_can_not_tell_its_readiness_is_not_ready(serve, connect, world):
    object.__setattr__(world.services, "not_ready_because", lambda: 1 / 0)
    health = health_pb2_grpc.HealthStub(connect(serve()))
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == NOT_SERVING


def test_a_client_that_knows_nothing_finds_the_service_by_reflection(serve, connect):
    database = ProtoReflectionDescriptorDatabase(connect(serve()))
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    methods = DescriptorPool(database).FindServiceByName(SERVICE).methods
    assert [method.name for method in methods] == ["Generate", "GenerateStream", "Lease", "Decode"]


def test_a_socket_in_the_file_system_needs_no_tls(serve, connect, tmp_path):
    server = serve(f"unix:{tmp_path}/ids.sock")
    answer = IdsStub(connect(server)).Generate(
        GenerateRequest(tag="orders", count=2), metadata=WITH_KEY, timeout=5
    )
    assert ids(answer) == [1, 2]


def test_two_processes_never_take_each_others_socket(serve, world, tmp_path):
    serve(f"unix:{tmp_path}/one.sock")
    with pytest.raises(bind.BadBindError, match="another process"):
        serve(f"unix:{tmp_path}/one.sock")
    shared = f"unix:{tmp_path}/ids-{{process}}.sock"
    first, second = serve(shared), serve(shared)
    assert [Path(s.bind.path).name for s in (first, second)] == ["ids-0.sock", "ids-1.sock"]
    first.stop(0)
    assert serve(shared).bind.path == first.bind.path


def test_several_servers_share_one_port(serve, connect):
    first = serve()
    second = serve(f"127.0.0.1:{first.bind.port}")
    assert first.bind == second.bind


@pytest.mark.parametrize("given", ["0.0.0.0:50051", "[::]:50051", "10.0.0.5:50051", "ids.example:50051"])
def test_keys_never_cross_a_network_in_the_clear(world, given):
    with pytest.raises(bind.BadBindError) as caught:
        GrpcServer(world.services, given)
    for part in ("grpc_bind", "grpc_tls_cert", "loopback"):
        assert part in str(caught.value)


@pytest.mark.parametrize("given", ["127.0.0.1:0", "localhost:50051", "[::1]:50051", "unix:/run/x.sock"])
def test_this_host_alone_may_be_served_without_tls(given):
    bind.check_secret(bind.parse(given), tls=False)


@pytest.mark.parametrize(
    "given", ["", "50051", "127.0.0.1", "127.0.0.1:99999", "unix:ids.sock", "unix:/" + "x" * 100, "a b:1"]
)
def test_an_address_that_means_nothing_is_named(given):
    with pytest.raises(bind.BadBindError, match=r"grpc_bind: .* allowed: HOST:PORT"):
        bind.parse(given)


def test_an_address_that_is_not_this_hosts_is_one_clear_error(world):
    server = GrpcServer(world.services, "127.0.0.1:0")
    server.bind = bind.Bind("192.0.2.1", 50_051)
    with pytest.raises(bind.BadBindError, match="can't be had"):
        server.start()


def test_only_one_of_certificate_and_key_is_refused(world, tmp_path):
    with pytest.raises(bind.BadBindError, match="both or none"):
        GrpcServer(world.services, "127.0.0.1:0", certificate=tmp_path / "cert.pem")
