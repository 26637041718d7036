"""Certificates, and the check that nothing older than TLS 1.3 is served."""

import contextlib
import datetime
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.grpc_api import tls


def write_pair(folder, number=1):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(number).not_valid_before(now - datetime.timedelta(hours=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(hours=1)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_a_pair_is_read_again_only_when_it_changed_and_kept_while_it_is_broken(tmp_path):
    pair = tls.KeyPair(*write_pair(tmp_path))
    assert pair.credentials() is not None
    assert pair._renewed() is None
    (tmp_path / "cert.pem").write_text("half")
    assert pair._renewed() is None
    write_pair(tmp_path, 2)
    assert pair._renewed() is not None
    assert pair._renewed() is None
    (tmp_path / "key.pem").unlink()
    assert pair._renewed() is None


def test_files_that_are_missing_or_no_certificate_are_named(tmp_path):
    with pytest.raises(tls.BadCertificateError, match=r"grpc_tls_cert, grpc_tls_key: .*cert\.pem"):
        tls.KeyPair(tmp_path / "cert.pem", tmp_path / "key.pem")
    certificate, key = write_pair(tmp_path)
    certificate.write_text("not a certificate")
    with pytest.raises(tls.BadCertificateError, match="allowed: readable PEM files"):
        tls.KeyPair(certificate, key)


@pytest.mark.parametrize(("lowest", "refused"), [("TLSv1_2", False), ("TLSv1_3", True)])
def test_a_server_that_takes_tls_1_2_is_found_out(tmp_path, lowest, refused):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(tmp_path))
    context.minimum_version = getattr(ssl.TLSVersion, lowest)

    def answer(listening):
        with listening.accept()[0] as plain, contextlib.suppress(ssl.SSLError, OSError):
            context.wrap_socket(plain, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        assert tls.refuses_tls_1_2("127.0.0.1", listening.getsockname()[1]) is refused
        thread.join(10)
