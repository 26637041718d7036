"""A whole load run on a real client host, against an edge played by a small TLS server on that host."""

import json
import subprocess
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.inventory import EDGE_CERTIFICATE_NAME, Inventory
from release.load.run import AlreadyRuns, LoadClient, Wanted
from tools.setup.images import reference

pytestmark = pytest.mark.integration

# Every 10th answer fails in a fault, every 25th fails outside one, every 4th is of version 1.1.0.
EDGE = """
import collections, itertools, json, signal, ssl, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
numbers, sources, lock = itertools.count(1), set(), threading.Lock()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        with lock:
            number = next(numbers)
            sources.add(self.client_address[0])
        fault, lost = number % 10 == 0, number % 25 == 0 and number % 10
        body = b"{}" if fault or lost else b'{"ids":["1"],"algorithm":"snowflake"}'
        self.send_response(503 if fault else 500 if lost else 200)
        self.send_header("X-Plumbline-Version", "1.1.0" if number % 4 == 0 else "1.0.0")
        if fault:
            self.send_header("X-Fault-Injected", "dependency")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        body = json.dumps({"requests": next(numbers) - 1, "sources": len(sources)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 443), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/plumbline/edge.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def docker(*arguments: str, check: bool = True, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=check, timeout=60, **more
    )


def certificate() -> tuple[str, str]:
    """(certificate, key with certificate) for the edge's name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plumbline test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(EDGE_CERTIFICATE_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return public, public + private


@pytest.fixture
def host():
    """A client host under systemd with the edge's stand-in; its name."""
    name = f"plumbline-test-client-{uuid.uuid4().hex[:8]}"
    cgroup1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    group = "/sys/fs/cgroup/systemd"
    for_cgroup1 = [f"--volume={group}:{group}", "--cgroupns=host"] if cgroup1 else ["--cgroupns=private"]
    legacy = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"] if cgroup1 else []
    try:
        docker(
            "run", "--detach", "--name", name, "--label", "plumbline.test=load", "--network", "none",
            "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined",
            "--security-opt", "apparmor=unconfined", *for_cgroup1, "--tmpfs=/run", "--tmpfs=/run/lock",
            "--tmpfs=/tmp", reference("client"), "/sbin/init", *legacy,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while docker("exec", name, "systemctl", "is-system-running", check=False).stdout.strip() not in (
            "running",
            "degraded",
        ):
            assert time.monotonic() < deadline, "systemd is not up"
            time.sleep(0.3)
        public, private = certificate()
        for path, content in {"ca.pem": public, "edge.pem": private, "edge.py": EDGE}.items():
            write = f"mkdir -p /etc/plumbline && cat > /etc/plumbline/{path}"
            docker("exec", "-i", name, "sh", "-c", write, input=content)
        docker("exec", name, "systemd-run", "--quiet", "python3", "/etc/plumbline/edge.py")
        yield name
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def client(host):
    return LoadClient(
        Inventory.model_validate({
            "environment": "dev",
            "hosts": [
                {"name": "edge1", "groups": ["edge"], "address": "127.0.0.1", "connection": "docker"},
                {"name": "client1", "groups": ["client"], "address": "127.0.0.1", "connection": "docker",
                 "container": host},
            ],
            "load": {"client": "client1", "sources": "127.0.1.1-127.0.1.100"},
        })
    )  # fmt: skip


def seen_by_the_edge(host) -> dict:
    ask = "import ssl,urllib.request as u; c=ssl._create_unverified_context();"
    ask += "print(u.urlopen('https://127.0.0.1/', context=c).read().decode())"
    return json.loads(docker("exec", host, "python3", "-c", ask).stdout)


def test_a_run_counts_what_the_edge_answered_and_stops_when_told(host, client):
    client.start(Wanted(rate=40, duration="10m", versions=["1.0.0", "1.1.0"]))
    with pytest.raises(AlreadyRuns):
        client.start(Wanted())
    time.sleep(6)
    assert client.status().running
    counts = client.stop()
    seen = seen_by_the_edge(host)
    assert counts.requests == seen["requests"], "k6 counted every request that the edge saw"
    assert counts.requests > 100
    number = counts.requests
    assert counts.failed_in_fault == number // 10
    assert counts.failed_outside_fault == number // 25 - number // 50
    assert counts.versions["1.1.0"].requests == number // 4
    assert counts.versions["1.0.0"].requests == number - number // 4
    assert "other" not in counts.versions
    assert counts.versions["1.0.0"].p99_ms > 0
    assert seen["sources"] > 10
    status = client.status()
    assert not status.running
    assert len(status.failures) == counts.failed_outside_fault
    assert {failure["status"] for failure in status.failures} == {500}
    assert all(failure["time"] and failure["version"] for failure in status.failures)


def test_a_run_ends_by_itself_and_a_server_that_is_gone_is_a_failure(host, client):
    docker("exec", host, "rm", "/etc/plumbline/edge.py")
    docker("exec", host, "pkill", "-f", "edge.py")
    client.start(Wanted(rate=20, duration="3s"))
    deadline = time.monotonic() + 30
    while client.running():
        assert time.monotonic() < deadline
        time.sleep(0.3)
    counts = client.stop()
    assert counts.requests == counts.failed_outside_fault == counts.versions["other"].failed
    assert counts.requests > 50
