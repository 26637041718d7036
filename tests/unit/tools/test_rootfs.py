"""The base is made from the machine's own Debian archives, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.setup import rootfs

DEB822 = """\
Types: deb
# an older snapshot
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /no/such/keyring.gpg

Types: deb
URIs: https://vendor.example/repo
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://archive.example/debian-security bookworm-security main
deb-src http://archive.example/debian bookworm main
deb http://other.example vendor-bookworm main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_only_debians_own_archives_are_taken_with_the_suite_changed(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list").write_text(ONE_LINE)
    found = rootfs.debian_sources(apt, "bookworm", "trixie")
    assert [(source.uri, source.suites) for source in found] == [
        ("http://archive.example/debian", ("trixie", "trixie-updates")),
        ("http://archive.example/debian-security", ("trixie-security",)),
    ]


def test_a_source_keeps_checking_signatures_when_its_own_key_is_not_there(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    for source in rootfs.debian_sources(apt, "bookworm", "trixie"):
        assert f"Signed-By: {rootfs.DEBIAN_KEYRING}" in source.stanza()


def test_a_machine_without_a_debian_archive_is_told_so(apt: Path) -> None:
    (apt / "sources.list.d" / "x.list").write_text("deb http://vendor.example/repo nodistro main\n")
    with pytest.raises(
        rootfs.NoDebianSourcesError, match=r"bookworm main archive.*python3 -m tools\.setup images"
    ):
        rootfs.debian_sources(apt, "bookworm", "trixie")


def test_a_proxy_of_the_machine_is_carried_and_an_empty_setting_is_not() -> None:
    dump = (
        'Acquire::http::Proxy "http://proxy:3128/";\nAcquire::https::Proxy "";\nAPT::Architecture "amd64";\n'
    )
    assert rootfs.carried_settings(dump) == ['Acquire::http::Proxy "http://proxy:3128/";']
