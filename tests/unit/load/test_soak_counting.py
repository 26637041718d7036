"""The judge of a soak: it finds an ID that was given twice, wherever it was drawn."""

import numpy as np
import pytest

from release.load.soak.counting import Drawn


def octets(*ids):
    return np.array(ids, dtype=">u8").tobytes()


def uuids(*ids):
    return b"".join(value.to_bytes(16, "big") for value in ids)


def test_an_id_given_twice_is_found_over_streams_and_answers():
    drawn = Drawn()
    drawn.add("orders", "a", octets(1, 2, 3), 3)
    drawn.add("orders", "b", octets(4, 5, 2), 3)
    drawn.add("orders", "a", octets(2, 9, 10), 3)
    assert drawn.total() == 9
    assert drawn.duplicates() == 2, "every further time counts"


def test_the_same_number_of_two_tags_is_no_duplicate():
    drawn = Drawn()
    drawn.add("orders", "a", octets(1, 2), 2)
    drawn.add("events", "a", octets(1, 2), 2)
    assert drawn.duplicates() == 0


def test_a_uuid_given_twice_is_found_and_is_never_mistaken_for_two_numbers():
    drawn = Drawn()
    drawn.add("events", "a", uuids(1 << 100, 7), 2)
    drawn.add("events", "b", uuids(7, 1 << 100 | 1), 2)
    assert drawn.duplicates() == 1
    assert drawn.kinds() == {"events": {"int64": 0, "uuid": 4}}


def test_order_is_judged_within_a_stream_alone():
    drawn = Drawn()
    drawn.add("orders", "a", octets(1, 2, 3), 3)
    drawn.add("orders", "b", octets(100, 101), 2)
    drawn.add("orders", "a", octets(4, 5), 2)
    assert drawn.out_of_order["orders"] == 0
    drawn.add("orders", "a", octets(5, 7, 6), 3)
    assert drawn.out_of_order["orders"] == 2


def test_an_answer_of_another_length_is_no_answer():
    with pytest.raises(ValueError, match="orders: 20 octets are not 2 IDs"):
        Drawn().add("orders", "a", b"x" * 20, 2)
