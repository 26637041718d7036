"""All processes of a server reload when one is told to."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.plugins.generation import Generation, Watcher

CHILD = """
import sys, time
from pathlib import Path
from app.plugins.generation import Generation, Watcher
watcher = Watcher(Generation(Path(sys.argv[1])), lambda: print("reloaded", flush=True))
watcher.start()
print("watching", flush=True)
time.sleep(30)
"""


def until(condition, timeout_s: float = 5) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def new_watcher(tmp_path):
    made = []

    def new(reload) -> Watcher:
        made.append(Watcher(Generation(tmp_path), reload, poll_s=0.02))
        made[-1].start()
        return made[-1]

    yield new
    for watcher in made:
        watcher.close()


def test_other_watchers_reload_and_the_announcing_one_does_not(new_watcher):
    mine, others = [], []
    announcing = new_watcher(lambda: mine.append(1))
    new_watcher(lambda: others.append(1))
    new_watcher(lambda: others.append(2))
    assert announcing.announce() == 1
    assert until(lambda: sorted(others) == [1, 2])
    time.sleep(0.1)
    assert mine == [] and sorted(others) == [1, 2]


def test_a_failing_reload_does_not_end_the_watch(new_watcher, tmp_path):
    calls = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError

    new_watcher(fail)
    Generation(tmp_path).bump()
    assert until(lambda: len(calls) == 1)
    Generation(tmp_path).bump()
    assert until(lambda: len(calls) == 2)


def test_an_announcement_between_two_looks_makes_the_announcing_process_reload_too(tmp_path):
    calls = []
    watcher = Watcher(Generation(tmp_path), lambda: calls.append(1), poll_s=0.02)
    Generation(tmp_path).bump()
    assert watcher.announce() == 2
    watcher.start()
    assert until(lambda: calls == [1])
    watcher.close()


def test_a_file_that_is_no_number_counts_as_none(tmp_path):
    (tmp_path / "plugins.generation").write_text("rubbish")
    assert Generation(tmp_path).current() == 0 and Generation(tmp_path / "nowhere").current() == 0
    assert Generation(tmp_path).bump() == 1


def test_real_processes_reload_within_five_seconds(tmp_path):
    root = Path(__file__).parents[4]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout.readline() == "watching\n"
        started = time.monotonic()
        Generation(tmp_path).bump()
        for child in children:
            assert child.stdout.readline() == "reloaded\n"
        assert time.monotonic() - started < 5
    finally:
        for child in children:
            child.kill()
            child.communicate()
