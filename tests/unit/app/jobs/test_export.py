"""One export, with the store on this disk and the IDs from here."""

import hashlib
import os
import time
from types import SimpleNamespace

import pytest

from app.ids.model import Batch, IdsUnavailableError
from app.jobs.export import CHUNK, Drawing, ExportRequest, ImpossibleError, StoppedError, run
from app.jobs.store import LocalStore, NoSuchObjectError
from app.tag_config import TagConfig


class Numbers:
    """Ranges without end; `asked` are their sizes."""

    def __init__(self, shorter_by=0) -> None:
        self.next_id, self.asked, self._shorter_by = 1, [], shorter_by

    def ranges(self, tag, size):
        self.asked.append(size)
        size = max(1, size - self._shorter_by)
        first, self.next_id = self.next_id, self.next_id + size
        return [range(first, first + size)]


def drawing(numbers, **config):
    tags = {"orders": SimpleNamespace(name="orders", config=TagConfig(**config))}
    uuids = SimpleNamespace(batch=lambda count: Batch("uuid", (), os.urandom(16 * count)))
    generators = {"uuid4": uuids}
    return Drawing(
        lambda workspace, name: tags.get(name),
        numbers.ranges,
        lambda tag: generators.get(tag.config.algorithm),
    )


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def export(store, count, *, format_="ndjson", numbers=None, keep_on=lambda done: True, **config):
    draw = drawing(numbers or Numbers(), **config).source(1, "orders", count)
    return run(ExportRequest(tag="orders", count=count, format=format_), draw, store, "one", keep_on)


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_a_file_has_exactly_the_ids_asked_for_in_order(store, count):
    made = export(store, count)
    content = b"".join(store.read("one"))
    assert content == b"".join(b'"%d"\n' % one for one in range(1, count + 1))
    assert (made.size, made.count, made.kind) == (len(content), count, "int64")
    assert made.sha256 == hashlib.sha256(content).hexdigest()


def test_octets_are_big_endian_and_uuids_have_sixteen(store):
    export(store, 3, format_="octets")
    assert b"".join(store.read("one")) == b"".join(one.to_bytes(8, "big") for one in (1, 2, 3))
    made = export(store, 3, format_="octets", algorithm="uuid4")
    assert (made.size, made.kind) == (48, "uuid")


def test_no_more_ids_are_taken_than_are_asked_for_and_in_few_ranges(store):
    numbers = Numbers()
    export(store, 2_300_000, numbers=numbers, format_="octets")
    assert numbers.asked == [1_000_000, 1_000_000, 300_000]


def test_ranges_that_are_shorter_than_asked_for_are_made_up_for(store):
    numbers = Numbers(shorter_by=700)
    export(store, 2_000, numbers=numbers, format_="octets")
    assert len(b"".join(store.read("one"))) == 2_000 * 8
    assert len(numbers.asked) > 1


def test_an_export_that_is_stopped_leaves_nothing(store, tmp_path):
    seen = []

    def keep_on(done):
        seen.append(done)
        return done < 2 * CHUNK

    with pytest.raises(StoppedError):
        export(store, 5 * CHUNK, keep_on=keep_on)
    assert seen == [0, CHUNK, 2 * CHUNK]
    assert list(tmp_path.iterdir()) == []


def test_a_file_does_not_appear_when_the_job_was_lost_at_its_very_end(store, tmp_path):
    with pytest.raises(StoppedError):
        export(store, 10, keep_on=lambda done: done < 10)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_fails_leaves_nothing(store, tmp_path):
    def draw(count):
        raise IdsUnavailableError("no")

    with pytest.raises(IdsUnavailableError):
        run(ExportRequest(tag="orders", count=1), draw, store, "one", lambda done: True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("nobody", {}, "does not exist"),
        ("orders", {"enabled": False}, "is disabled"),
        ("orders", {"algorithm": "words"}, "'words'"),
    ],
)
def test_what_can_not_be_exported_is_told_with_the_reason(name, config, told):
    with pytest.raises(ImpossibleError, match=told):
        drawing(Numbers(), **config).source(1, name, 10)


def test_a_file_appears_whole_under_its_key(store, tmp_path):
    upload = store.begin("one")
    upload.write(b"half")
    with pytest.raises(NoSuchObjectError):
        store.read("one")
    upload.write(b" and half")
    upload.publish()
    upload.abort()
    assert b"".join(store.read("one")) == b"half and half"
    store.delete("one")
    store.delete("one")
    assert list(tmp_path.iterdir()) == []
    assert store.link("one", 10) is None


def test_what_a_dead_worker_left_is_removed_when_it_is_old(store, tmp_path):
    store.begin("old").write(b"x")
    store.begin("new").write(b"x")
    long_ago = time.time() - 1_000
    os.utime(tmp_path / "old.part", (long_ago, long_ago))
    assert store.sweep(500) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new.part"]


@pytest.mark.parametrize("key", ["", "../one", "a/b", ".hidden", "one.part", "x" * 200])
def test_no_key_leads_out_of_the_directory(store, key):
    with pytest.raises(ValueError, match="key: "):
        store.begin(key)
