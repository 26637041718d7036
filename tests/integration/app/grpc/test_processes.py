"""TLS, and several processes on one port, as the service runs them."""

import datetime
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.grpc_api.ids_pb2 import GenerateRequest
from app.grpc_api.ids_pb2_grpc import IdsStub
from infra.paths import repo_root

pytestmark = pytest.mark.integration
SERVING = Path(__file__).with_name("serving.py")


def write_pair(folder: Path, serial: int) -> tuple[Path, Path]:
    """A new self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    paths = folder / "cert.pem", folder / "key.pem"
    (folder / "key.new").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "cert.new").write_bytes(certificate.public_bytes(pem))
    (folder / "key.new").replace(paths[1])
    (folder / "cert.new").replace(paths[0])
    return paths


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path, 1)


@pytest.fixture
def run():
    """run(*arguments) -> the process and its first line; ended after the test."""
    started = []

    def new(*arguments: str) -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, str(SERVING), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(repo_root())},
            start_new_session=True,
        )
        started.append(process)
        return process, process.stdout.readline()

    yield new
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def tls_port(run, pair):
    _, line = run("--bind", "0.0.0.0:0", "--certificate", str(pair[0]), "--key", str(pair[1]))
    return int(line.split()[1])


def shake_hands(port: int, version: ssl.TLSVersion) -> tuple[str, int]:
    """(version, serial number of the certificate) of a connection of this TLS version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secret:
        certificate = x509.load_der_x509_certificate(secret.getpeercert(binary_form=True))
        return secret.version(), certificate.serial_number


def test_tls_1_3_is_served_and_tls_1_2_is_refused(tls_port, pair):
    assert shake_hands(tls_port, ssl.TLSVersion.TLSv1_3) == ("TLSv1.3", 1)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(tls_port, ssl.TLSVersion.TLSv1_2)
    trusted = grpc.ssl_channel_credentials(pair[0].read_bytes())
    with grpc.secure_channel(f"localhost:{tls_port}", trusted) as channel:
        answer = IdsStub(channel).Generate(GenerateRequest(tag="orders"), timeout=10)
    assert len(answer.blocks) == 1


def test_a_client_without_tls_gets_nothing(tls_port):
    with grpc.insecure_channel(f"127.0.0.1:{tls_port}") as channel, pytest.raises(grpc.RpcError) as caught:
        IdsStub(channel).Generate(GenerateRequest(tag="orders"), timeout=3)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_a_renewed_certificate_is_served_without_a_restart_and_a_broken_one_is_not(tls_port, pair, tmp_path):
    write_pair(tmp_path, 2)
    assert shake_hands(tls_port, ssl.TLSVersion.TLSv1_3)[1] == 2
    pair[0].write_text("half a certif")
    assert shake_hands(tls_port, ssl.TLSVersion.TLSv1_3)[1] == 2
    write_pair(tmp_path, 3)
    assert shake_hands(tls_port, ssl.TLSVersion.TLSv1_3)[1] == 3


def test_a_key_of_another_certificate_is_one_clear_error(run, pair, tmp_path):
    (tmp_path / "other").mkdir()
    _, other_key = write_pair(tmp_path / "other", 9)
    process, line = run("--bind", "0.0.0.0:0", "--certificate", str(pair[0]), "--key", str(other_key))
    assert line == ""
    assert "grpc_tls_cert, grpc_tls_key" in process.communicate(timeout=20)[1]


def test_forked_processes_share_a_port_and_the_connections(run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process, first = run("--bind", f"127.0.0.1:{port}", "--processes", "2")
    lines = [first, process.stdout.readline()]
    assert {line.split()[1] for line in lines} == {str(port)}
    answered = set()
    for number in range(40):
        # Clients of one process share a connection unless told otherwise.
        options = [("grpc.use_local_subchannel_pool", 1), ("test", number)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            answered.add(IdsStub(channel).Generate(GenerateRequest(tag="orders"), timeout=10).blocks[0].first)
    assert answered == {int(line.split()[2]) for line in lines}


def test_a_stopping_process_answers_what_was_begun(run):
    process, line = run()
    port = line.split()[1]
    answers = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = IdsStub(channel)
        stub.Generate(GenerateRequest(tag="orders"), timeout=10)
        call = threading.Thread(
            target=lambda: answers.append(stub.Generate(GenerateRequest(tag="slow", count=3), timeout=10))
        )
        call.start()
        threading.Event().wait(0.3)
        process.send_signal(signal.SIGTERM)
        call.join(10)
    assert answers[0].blocks[0].more == 2
    assert process.communicate(timeout=15)[0] == "stopped True\n"
