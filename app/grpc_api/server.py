"""The gRPC server of one worker process. Make it after the fork.

A threaded server: a call may wait for a range from the database, which would hold up every other call on an
event loop. What the alternatives gave is measured by release/load/bench/grpc_compare.py.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from app.grpc_api import bind as binding
from app.grpc_api import ids_pb2 as messages
from app.grpc_api import tls
from app.grpc_api.calls import Calls, Services
from app.grpc_api.health import Readiness
from app.grpc_api.refusals import Refusal
from app.grpc_api.streams import Streams

SERVICE = "plumbline.ids.v1.Ids"
MOST_REQUEST_OCTETS = 64 << 10
MOST_REPLY_OCTETS = 4 << 20
"""100,000 UUIDs are 1.6 MB."""

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class GrpcServer:
    """`start` listens, `stop` drains; each once.

    bind: HOST:PORT, where the processes of one host share the port, or unix:/path (see `bind.Claimed`).
    certificate and key: PEM files; without them only this host can be served. threads: calls at once, of
    which half may be streams; `waiting` more may wait for a thread, and beyond that a call is refused.
    Raises BadBindError or BadCertificateError before anything listens.
    """

    def __init__(
        self,
        services: Services,
        bind: str,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        threads: int = 16,
        waiting: int = 64,
    ) -> None:
        self.bind = binding.parse(bind)
        if (certificate is None) != (key is None):
            raise binding.BadBindError(
                "grpc_tls_cert, grpc_tls_key: only one of them is set; allowed: both or none"
            )
        binding.check_secret(self.bind, tls=certificate is not None)
        self._key_pair = tls.KeyPair(certificate, key) if certificate and key else None
        self.calls, self._streams = Calls(services), Streams(threads // 2 or 1)
        self._readiness = Readiness(SERVICE, services.not_ready_because)
        self._threads, self._waiting = threads, waiting
        self._server: grpc.Server | None = None
        self._claim: binding.Claimed | None = None

    def start(self) -> None:
        """Listen; `port` is known afterwards. Raises BadBindError when the address can't be had."""
        if self.bind.path:
            self._claim = binding.Claimed(self.bind)
            self.bind = self._claim.bind
        credentials = self._key_pair.credentials() if self._key_pair else None
        self._server = self._assembled()
        try:
            port = (
                self._server.add_secure_port(self.bind.address, credentials)
                if credentials
                else self._server.add_insecure_port(self.bind.address)
            )
        except RuntimeError as error:
            self._release()
            raise binding.BadBindError(f"grpc_bind: {self.bind.address!r} can't be had: {error}") from None
        if not self.bind.path:
            self.bind = binding.Bind(self.bind.host, port)
        self._readiness.start()
        self._server.start()
        if credentials and not self._probe(port):
            self.stop(0)
            raise tls.TlsTooOldError(
                "the gRPC server would take TLS 1.2, so it does not start; allowed: TLS 1.3. "
                "Something imported grpc before app.grpc_api, which has to prepare it"
            )

    def stop(self, grace_s: float) -> bool:
        """Take no new calls, answer those begun, end the streams; whether all ended within `grace_s`."""
        if self._server is None:
            return True
        self._readiness.stop()
        ended = self._server.stop(grace_s)
        self._streams.drain()
        in_time = ended.wait(grace_s + 1)
        self._server = None
        self._release()
        return in_time

    def _assembled(self) -> grpc.Server:
        server = grpc.server(
            ThreadPoolExecutor(self._threads, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=self._threads + self._waiting,
            options=[
                # Each worker process listens on the same port, and the kernel spreads the connections.
                ("grpc.so_reuseport", 0 if self.bind.path else 1),
                ("grpc.max_receive_message_length", MOST_REQUEST_OCTETS),
                ("grpc.max_send_message_length", MOST_REPLY_OCTETS),
                ("grpc.max_metadata_size", 16 << 10),
                ("grpc.max_connection_idle_ms", 300_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        server.add_generic_rpc_handlers((self._handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._readiness.servicer, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection((SERVICE, health_name, reflection.SERVICE_NAME), server)
        return server

    def _handlers(self) -> grpc.GenericRpcHandler:
        def unary(work: Callable[..., Reply], request: Any, reply: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                _answering(work), request.FromString, reply.SerializeToString
            )

        calls, m = self.calls, messages
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Generate": unary(calls.generate, m.GenerateRequest, m.GenerateResponse),
                "Lease": unary(calls.lease, m.LeaseRequest, m.LeaseResponse),
                "Decode": unary(calls.decode, m.DecodeRequest, m.DecodeResponse),
                "GenerateStream": grpc.stream_stream_rpc_method_handler(
                    self._stream, m.GenerateRequest.FromString, m.GenerateReply.SerializeToString
                ),
            },
        )

    def _stream(
        self, requests: Iterable[messages.GenerateRequest], context: grpc.ServicerContext
    ) -> Iterator[messages.GenerateReply]:
        metadata = context.invocation_metadata()
        try:
            for request in self._streams.requests(requests, context.cancel):
                yield self.calls.generate_in_stream(request, metadata, context.time_remaining())
        except Refusal as refusal:
            _end(context, refusal)

    def _probe(self, port: int) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind.host, self.bind.host)  # noqa: S104
        return tls.refuses_tls_1_2(host, port)

    def _release(self) -> None:
        if self._claim:
            self._claim.release()
            self._claim = None


def _answering(work: Callable[..., Reply]) -> Callable[[Request, grpc.ServicerContext], Reply]:
    """A call without streams as gRPC's server wants it."""

    def answer(request: Request, context: grpc.ServicerContext) -> Reply:
        try:
            return work(request, context.invocation_metadata(), context.time_remaining())
        except Refusal as refusal:
            _end(context, refusal)

    return answer


def _end(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    context.set_trailing_metadata(refusal.metadata)
    context.abort(refusal.code, refusal.detail)
    raise AssertionError("abort raises")
