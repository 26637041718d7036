"""Waiting for another thread."""

import time

import pytest


def until(condition, what: str, timeout_s: float = 10):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    return pytest.fail(f"{what}: not within {timeout_s} s")
