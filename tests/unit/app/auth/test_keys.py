import hashlib

import pytest

from app.auth import keys


def test_a_key_has_256_bits_and_a_prefix_that_scanners_find():
    token = keys.make(lambda octets: "A" * 43 if octets == 32 else "")
    assert token == "plk_" + 43 * "A" and keys.well_formed(token)
    assert keys.well_formed(keys.make()) and keys.make() != keys.make()


def test_a_key_is_known_by_its_sha_256_and_shown_by_its_beginning():
    token = keys.make()
    assert keys.digest(token) == hashlib.sha256(token.encode()).digest()
    assert keys.shown(token) == token[:8]


@pytest.mark.parametrize(
    "text", ["", "plk_", "plk_" + 42 * "A", "plk_" + 44 * "A", "PLK_" + 43 * "A", "plk_" + 42 * "A" + "\n",
             "plk_" + 42 * "A" + "=", "plk_" + 42 * "A" + "\u0660", 10**6 * "A"],
)  # fmt: skip
def test_anything_else_isnt_a_key(text):
    assert not keys.well_formed(text)
