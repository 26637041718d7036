"""TLS 1.3 and nothing older, with certificates that may be renewed while the server runs."""

import socket
import ssl
from pathlib import Path

import grpc

_PROBE_TIMEOUT_S = 3.0


class BadCertificateError(ValueError):
    """Certificate and key can't be used."""


class TlsTooOldError(RuntimeError):
    """The server would take TLS 1.2."""


class KeyPair:
    """A certificate chain and its key, as PEM files. Read again when a file changes."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._seen = self._stamp()
        self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC's server."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._renewed,  # type: ignore[arg-type]  # gRPC takes None for "no change"
            require_client_authentication=False,
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked for each new connection; None keeps what is there."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            found = self._configuration()
        except BadCertificateError:
            return None  # half written: the next connection looks again, and this one gets the old pair
        self._seen = stamp
        return found

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, certificate = self._read()
        return grpc.ssl_server_certificate_configuration([(key, certificate)])

    def _read(self) -> tuple[bytes, bytes]:
        try:
            # Checks that they are PEM and belong together; gRPC itself only says that it failed.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            return self._key.read_bytes(), self._certificate.read_bytes()
        except (OSError, ssl.SSLError) as error:
            raise BadCertificateError(
                f"grpc_tls_cert, grpc_tls_key: {self._certificate} and {self._key} can't be used ({error}); "
                "allowed: readable PEM files of a certificate chain and its key"
            ) from None

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        try:
            found = (self._certificate.stat(), self._key.stat())
        except OSError as error:
            raise BadCertificateError(f"grpc_tls_cert, grpc_tls_key: {error}") from None
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in found)


def refuses_tls_1_2(host: str, port: int) -> bool:
    """Whether a client that knows nothing newer is turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), _PROBE_TIMEOUT_S) as plain,
            context.wrap_socket(plain),
        ):
            return False
    except (ssl.SSLError, ConnectionError):
        return True
