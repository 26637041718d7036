"""Wakes a worker when a job is put into the queue: Postgres' LISTEN, and a poll where it can't be had."""

import threading
import time
from collections.abc import Callable

import psycopg

from app.jobs.queue import CHANNEL

LOOK_EVERY_S = 0.5
RECONNECT_S = 5.0


class PostgresBell:
    """Used by one thread. url: postgresql://... stopping: asked twice a second."""

    def __init__(self, url: str, stopping: Callable[[], bool]) -> None:
        self._url = "postgresql://" + url.partition("://")[2]
        self._stopping = stopping
        self._connection: psycopg.Connection | None = None
        self._not_before = 0.0
        self._pause = threading.Event()  # never set: a wait of its own

    def wait(self, timeout_s: float) -> None:
        """Return at a notification, after that long, or when the process stops."""
        deadline = time.monotonic() + timeout_s
        connection = self._listening()
        while (left := deadline - time.monotonic()) > 0 and not self._stopping():
            slice_s = min(left, LOOK_EVERY_S)
            if connection is None:
                self._pause.wait(slice_s)
                continue
            try:
                for _ in connection.notifies(timeout=slice_s, stop_after=1):
                    return
            except psycopg.Error:
                self.close()
                connection = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listening(self) -> psycopg.Connection | None:
        if self._connection is None and time.monotonic() >= self._not_before:
            try:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=3, application_name="plumbline-jobs"
                )
                self._connection.execute(f"LISTEN {CHANNEL}")
            except psycopg.Error:
                self.close()
                self._not_before = time.monotonic() + RECONNECT_S
        return self._connection
