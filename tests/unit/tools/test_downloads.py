"""A download is used only when its checksum fits; a site that doesn't answer costs seconds, once."""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools.setup import downloads
from tools.setup.shell import Children, Log, SetupError

Spec = dict[str, Any]


def make_archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in ("thing/thing", "thing/launcher", "thing/deeper/other"):
            item = tarfile.TarInfo(name)
            item.size = 4
            tar.addfile(item, io.BytesIO(b"data"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        del words


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Spec]]:
    """A download site with one release, and the pin that leads to it."""
    monkeypatch.setenv("PLUMBLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = tmp_path / "site"
    served.mkdir()
    make_archive(served / "thing-1.2.3.tar.gz")
    digest = hashlib.sha256((served / "thing-1.2.3.tar.gz").read_bytes()).hexdigest()
    (served / "sums").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  thing-1.2.3.tar.gz\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    release = {
        "url": address + "/thing-{version}.tar.gz",
        "checksums": address + "/sums",
        "arch": {platform.machine(): "any"},
        "member": "thing/thing",
    }
    yield served, {"version": "1.2.3", "official": release}
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def fetch(spec: Spec, target: Path) -> None:
    downloads.official("thing", spec, target, Log("thing", Children(), target.parent / "logs"))


def test_a_release_that_fits_its_published_checksum_is_unpacked(
    site: tuple[Path, Spec], target: Path
) -> None:
    fetch(site[1], target)
    assert sorted(path.name for path in target.iterdir()) == ["launcher", "thing"]
    assert (target / "thing").stat().st_mode & 0o111


def test_a_file_that_differs_from_its_published_checksum_is_refused(
    site: tuple[Path, Spec], target: Path
) -> None:
    (site[0] / "sums").write_text(f"{'1' * 64}  thing-1.2.3.tar.gz\n")
    with pytest.raises(downloads.ChecksumError, match="it is not used"):
        fetch(site[1], target)
    assert not (target / "thing").exists()


def test_a_pinned_checksum_wins_over_the_published_one(site: tuple[Path, Spec], target: Path) -> None:
    site[1]["official"]["sha256"] = {platform.machine(): "2" * 64}
    with pytest.raises(downloads.ChecksumError, match="2222 was promised"):
        fetch(site[1], target)


def test_a_file_that_the_checksums_do_not_list_is_refused(site: tuple[Path, Spec], target: Path) -> None:
    (site[0] / "sums").write_text(f"{'1' * 64}  thing-1.2.3.tar.gz.sig\n")
    with pytest.raises(SetupError, match="don't list it"):
        fetch(site[1], target)


def test_a_release_that_is_not_there_leaves_the_next_route_open(
    site: tuple[Path, Spec], target: Path
) -> None:
    site[1]["version"] = "9.9.9"
    with pytest.raises(downloads.UnreachableError, match="404"):
        fetch(site[1], target)


def test_a_site_that_does_not_answer_is_not_asked_again_for_hours(
    site: tuple[Path, Spec], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9/thing.tar.gz"
    site[1]["official"]["url"] = url
    with pytest.raises(downloads.UnreachableError):
        fetch(site[1], target)
    monkeypatch.setattr(downloads, "fetch", lambda *given: pytest.fail("asked again"))
    with pytest.raises(downloads.UnreachableError, match="a short while ago"):
        fetch(site[1], target)
    assert not downloads.remembered_unreachable(url, now=downloads.time.time() + 7 * 3600)
