"""gunicorn with the service's worker, for real, over a small application: what the event loop answers itself,
what goes the long way, and that neither loses or mixes up anything."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

APPLICATION = '''
import threading, time

class App:
    """Says by which way a request was answered."""
    def instant(self, request):
        if request.tag == "slow":
            return None
        size = int(request.count)
        body = b"i" * size
        return b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size + body

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].endswith("slow"):
            time.sleep(0.5)
        body = environ["wsgi.input"].read() or b"long way"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

app = App()
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    (folder / "small.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[4]
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4",
        "--worker-class", "app.server.worker.ServiceWorker", "--keep-alive", "30", "--log-level", "error",
        "--no-control-socket", "small:app",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{root}"}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError):
            if ask(port, "GET", "/x") == b"long way":
                break
        time.sleep(0.1)
    yield port, process
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=body)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_plain_request_is_answered_in_place_and_others_the_long_way_on_one_connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=10)
    for _ in range(3):
        connection.request("POST", "/v1/ids/a?count=3")
        assert connection.getresponse().read() == b"iii"
        connection.request("POST", "/v1/ids/a?count=3", body=b"hello")
        assert connection.getresponse().read() == b"hello"
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"long way"
    connection.close()


def test_a_request_in_pieces_is_answered_whole(server):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as client:
        for piece in (b"POST /v1/ids/a?cou", b"nt=3 HTTP/1.1\r\nHo", b"st: x\r\n\r\n"):
            client.sendall(piece)
            time.sleep(0.1)
        assert client.recv(4096).endswith(b"long way")


def test_two_requests_sent_at_once_get_two_answers_in_order(server):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as client:
        one = b"POST /v1/ids/a HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(one + b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := client.recv(4096):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_a_reader_that_is_slow_gets_everything_and_keeps_nobody_waiting(server):
    size = 30_000_000
    with socket.create_connection(("127.0.0.1", server[0]), timeout=20) as client:
        client.sendall(b"POST /v1/ids/a?count=%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        time.sleep(0.3)  # nothing is read meanwhile
        began = time.monotonic()
        for _ in range(20):
            assert ask(server[0], "POST", "/v1/ids/a?count=2") == b"ii"
        assert time.monotonic() - began < 5
        received = 0
        while received < size:
            received += len(client.recv(1 << 20))
        client.sendall(b"POST /v1/ids/a?count=2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).endswith(b"ii"), "the connection goes on"


def test_requests_that_take_long_do_not_hold_up_the_loop(server):
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(ask, server[0], "POST", "/v1/ids/slow") for _ in range(6)]
        time.sleep(0.1)
        began = time.monotonic()
        assert ask(server[0], "POST", "/v1/ids/a?count=2") == b"ii"
        assert time.monotonic() - began < 0.3
        assert {future.result() for future in slow} == {b"long way"}


def test_connections_are_shared_out_over_the_workers(server):
    port, process = server
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    def open_files():
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in children]

    before = open_files()
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(20)]
    time.sleep(0.5)
    held = [after - at_first for after, at_first in zip(open_files(), before, strict=True)]
    for client in clients:
        client.close()
    assert sum(held) == 20
    assert max(held) <= 15, held  # without sharing out, one worker takes nearly all
