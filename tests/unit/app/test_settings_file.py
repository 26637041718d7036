"""Settings from a YAML file: the environment goes before it, and what it can't mean is refused by name."""

import pytest

from app import settings

NEEDED = {
    "PLUMBLINE_SLOT": "blue",
    "PLUMBLINE_VERSION": "1.2.3",
    "PLUMBLINE_RUNTIME_DIR": "/run/x",
    "PLUMBLINE_ETCD_URL": "http://127.0.0.1:2379",
    "PLUMBLINE_DATABASE_URL": "postgresql://ids:secret@127.0.0.1/ids",
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)

    def write(text):
        path = tmp_path / "service.yaml"
        path.write_text(text)
        monkeypatch.setenv("PLUMBLINE_CONFIG", str(path))

    return write


def test_the_file_gives_what_the_environment_leaves_open(written, monkeypatch):
    written("threads: 8\nlog_level: warning\nkey_rate_per_s: 100\n")
    monkeypatch.setenv("PLUMBLINE_LOG_LEVEL", "debug")
    found, _ = settings.load()
    assert (found.threads, found.key_rate_per_s, found.log_level) == (8, 100, "debug")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("thread: 8\n", "'thread' is no setting"),
        ("- 8\n", "is not a mapping"),
        ("a: [\n", "can't be read"),
        ("threads: 800\n", "THREADS: 800"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_key(written, text, told):
    written(text)
    with pytest.raises(settings.BadSettingsError, match=told):
        settings.load()


def test_a_file_that_is_not_there_is_said(written, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CONFIG", "/nowhere/service.yaml")
    with pytest.raises(settings.BadSettingsError, match=r"/nowhere/service\.yaml can't be read"):
        settings.load()
