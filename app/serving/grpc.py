"""The gRPC server of one process, over the same logic as HTTP."""

from typing import TYPE_CHECKING, Any

from app.grpc_api.calls import Services
from app.grpc_api.server import GrpcServer
from app.server.logs import logger

if TYPE_CHECKING:
    from app.serving.runtime import Runtime


def grpc_server(runtime: "Runtime", bind: str) -> GrpcServer:
    """Not started yet. Raises BadBindError or BadCertificateError."""
    settings = runtime.settings

    def not_ready() -> str | None:
        because = runtime.not_ready_because()
        return None if because is None else str(because)

    def decode(caller: Any, text: str, tag: str) -> Any:
        return runtime.issuing.decode(caller, text, tag)

    return GrpcServer(
        Services(
            admit=runtime.admission.admit,
            draw=runtime.issuing.batch,
            lease=runtime.issuing.lease,
            decode=decode,
            not_ready_because=not_ready,
            counted=runtime.metrics.rpc.request,
            failed=lambda method, error: logger().error("unexpected error", method=method, exc_info=error),
        ),
        bind,
        certificate=settings.grpc_tls_cert,
        key=settings.grpc_tls_key,
        threads=settings.threads,
    )
