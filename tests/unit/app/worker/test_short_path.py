"""What the event loop reads by itself: only what gunicorn's own parser would understand the same way."""

import pytest

from app.server.short_path import MOST_OCTETS, IssueRequest, ShortPath, parse

PLAIN = (
    b"POST /v1/ids/orders?count=10 HTTP/1.1\r\nHost: ids\r\nAuthorization: Bearer plk_x\r\n"
    b"Accept: application/json\r\nContent-Length: 0\r\n\r\n"
)


def test_a_plain_request_is_read_whole():
    assert parse(PLAIN) == IssueRequest("orders", "10", "Bearer plk_x", "application/json", "", "")


def test_what_is_left_out_is_empty_and_the_count_is_one():
    request = parse(b"POST /v1/ids/a%2Eb HTTP/1.1\r\nHost: ids\r\nX-Request-Id: r1\r\n\r\n")
    assert request == IssueRequest("a.b", "1", "", "", "r1", "")


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + PLAIN,
        PLAIN[:-1],
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"/v1/ids/", b"/v1/leases/"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Content-Length: 0", b"Content-Length: 2") + b"{}",
        PLAIN.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Content-Length: 0", b"Content-Length: 0\r\nContent-Length: 0"),
        PLAIN.replace(b"Content-Length: 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
        PLAIN.replace(b"Content-Length: 0", b"Expect: 100-continue"),
        PLAIN.replace(b"Content-Length: 0", b"Connection: close"),
        PLAIN.replace(b"Content-Length: 0", b"Connection: Upgrade\r\nUpgrade: h2c"),
        PLAIN.replace(b"Content-Length: 0", b"Authorization: Bearer other"),
        PLAIN.replace(b"Host: ids\r\n", b""),
        PLAIN.replace(b"Host: ids\r\n", b"Host: ids\r\nHost: other\r\n"),
        PLAIN.replace(b"Host: ids", b"Host : ids"),
        PLAIN.replace(b"Host: ids", b"Host: i\x00ds"),
        PLAIN.replace(b"?count=10", b"?count=10&count=20"),
        PLAIN.replace(b"?count=10", b"?step=10"),
        PLAIN.replace(b"orders", b"orders/more"),
        PLAIN.replace(b"Accept: application/json", b"Accept: " + b"x" * MOST_OCTETS),
        b"",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_anything_unusual_takes_the_long_way(data):
    assert parse(data) is None


def test_the_same_octets_mean_the_same_again_and_memory_stays_bounded():
    path = ShortPath()
    first = path.read(PLAIN)
    assert path.read(PLAIN) is first
    for number in range(3_000):
        path.read(PLAIN.replace(b"=10", b"=%d" % number))
    assert len(path._remembered) <= 1_024
    path.read(b"POST " + b"x" * 100_000)
    assert all(len(data) <= MOST_OCTETS for data in path._remembered)
