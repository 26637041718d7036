import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.cache.address import Address, BadRedisUrlError, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://r1", Address("standalone", (("r1", 6379),))),
        ("redis://[::1]:7000/2", Address("standalone", (("::1", 7000),), database=2)),
        ("rediss://r1?ca=/etc/ca.pem", Address("standalone", (("r1", 6379),), tls=True, ca="/etc/ca.pem")),
        (
            "redis+sentinel://:s%40c@h1,h2:1234/main/3?sentinel_password=other",
            Address(
                "sentinel",
                (("h1", 26379), ("h2", 1234)),
                "main",
                3,
                password="s@c",
                sentinel_password="other",
            ),
        ),
        (
            "rediss+cluster://u:p@h1:1,h2:2",
            Address("cluster", (("h1", 1), ("h2", 2)), tls=True, username="u", password="p"),
        ),
    ],
)
def test_one_url_says_all_of_each_mode(url, address):
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:6379", "no scheme"),
        ("http://h", "'http'"),
        ("redis://", "host 1"),
        ("redis://h1,h2", "2 hosts"),
        ("redis://h:0", "port 0"),
        ("redis://h:70000", "port 70000"),
        ("redis://h/16", "database 16"),
        ("redis://h/a", "path 'a'"),
        ("redis://user@h", "a user alone"),
        ("redis+sentinel://h", "master name ''"),
        ("redis+sentinel://h/m/1/2", "path"),
        ("redis+cluster://h/1", "database 1"),
        ("redis+cluster://h,,i", "host 2"),
        ("redis://h?ca=/x", "option 'ca'"),
        ("rediss://h?ca=", "option 'ca'"),
    ],
)
def test_a_bad_url_is_one_line_that_says_what_is_allowed(url, told):
    with pytest.raises(BadRedisUrlError) as error:
        parse(url)
    assert told in str(error.value) and "allowed: " in str(error.value) and "\n" not in str(error.value)


@given(
    scheme=st.sampled_from(["redis", "redis+sentinel", "redis+cluster", "rediss", "redis+x"]),
    before=st.sampled_from([":", "user:", "user:1"]),
    after=st.sampled_from(["@h", "@h:1/m", "@h/m/x", "@h:99999", "@"]),
    mark=st.sampled_from(["", "/", "?", "#", "@", ":", ",", "?a=", "/1?"]),
)
@example("redis", ":", "@h", "?")
@example("redis+sentinel", "user:1", "@h:1/m", "/")
def test_no_error_and_no_repr_shows_the_password(scheme, before, after, mark):
    secret = "S3CRET"
    try:
        address = parse(f"{scheme}://{before}{mark}{secret}{after}")
    except BadRedisUrlError as error:
        assert secret not in str(error)
    else:
        assert secret not in repr(address) + str(address)
