"""Versions and the pieces of a bundle."""

import io
import subprocess
import tarfile
import zipfile

import pytest

from app import build, versions
from app.bundle import archive, wheel
from infra.paths import repo_root


@pytest.mark.parametrize("version", ["1.0.0", "0.0.1", "10.20.30", "1.4.0-rc.1", "1.0.0-0a.b-c"])
def test_semantic_versions_are_taken(version):
    assert versions.checked(version) == version


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0 ",
        "1.0.0\n",
        "../1.0.0",
        "1.0.0+b",
        "1.0.٣",
        "1.0.0-" + "a" * 64,
    ],
)
def test_anything_else_is_refused_and_nothing_is_built(version, tmp_path, capsys):
    assert build.main(["--version", version, "--out", str(tmp_path / "out")]) == 2
    assert "allowed: a semantic version" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_joined_members_are_one_archive_for_python_and_tar(tmp_path):
    first = archive.member([("a/one", b"1" * 700)], last=False)
    second = archive.member([("a/two", b"2")], last=True)
    (tmp_path / "x.tgz").write_bytes(first + second)
    with tarfile.open(fileobj=io.BytesIO(first + second)) as joined:
        assert {m.name: joined.extractfile(m).read() for m in joined} == {"a/one": b"1" * 700, "a/two": b"2"}
    subprocess.run(["tar", "-xzf", "x.tgz"], cwd=tmp_path, check=True)
    assert (tmp_path / "a" / "two").read_bytes() == b"2"


def test_the_wheel_is_valid_and_leaves_out_what_only_builds(tmp_path):
    files = wheel.app_files(repo_root())
    packed = wheel.pack([*files, *wheel.dist_info(files, "1.4.0-rc.1")])
    path = tmp_path / wheel.name("1.4.0-rc.1")
    path.write_bytes(packed)
    names = zipfile.ZipFile(path).namelist()
    assert "app/server/wsgi.py" in names
    assert "app/migrations/versions/r0001_tags_and_segments.py" in names
    assert not [n for n in names if n.startswith("app/bundle") or n == "app/build.py"]
    target = tmp_path / "installed"
    command = ["uv", "pip", "install", "-q", "--offline", "--no-deps", "--target", str(target), str(path)]
    subprocess.run(command, check=True)
    assert (target / "app" / "issuing.py").is_file()


def test_the_same_files_give_the_same_bytes():
    files = wheel.app_files(repo_root())
    again = wheel.app_files(repo_root())
    assert wheel.pack(files) == wheel.pack(again)
    assert archive.member(files, last=True) == archive.member(again, last=True)
