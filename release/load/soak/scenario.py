"""What happens to the services while IDs are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from release.load.bench.stand import PYTHON, Service, Stand, docker


@dataclass(frozen=True)
class Fault:
    """`strike` brings it about and, where it must, ends it; `settle_s` is how long drawing goes on."""

    name: str
    strike: Callable[[], None]
    settle_s: float


class Clock:
    """The wall clock of one service, as an offset in seconds to the machine's."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.file = f"/run/{service.name}.clock"

    def set(self, offset_s: float) -> None:
        """Step it there, for all processes of the service at once: they have the file's 8 octets mapped."""
        write = (
            "import struct,sys; open(sys.argv[1], sys.argv[2]).write(struct.pack('<d', float(sys.argv[3])))"
        )
        there = self._service.shell(f"test -f {self.file} && echo there", check=False)
        mode = "r+b" if there else "wb"
        host = self._service.stand.host
        docker("exec", "--env=STAND_CLOCK=", host, PYTHON, "-c", write, self.file, mode, str(offset_s))


def plan(stand: Stand, services: list[Service], clocks: list[Clock], away_s: float) -> list[Fault]:
    """The faults in their order: `away_s` is how long etcd is gone."""
    first, second = services

    def kill_a_process() -> None:
        first.shell(f"kill -9 {first.workers()[0]}")

    def kill_and_restart() -> None:
        second.kill()
        second.start()

    def etcd_away() -> None:
        docker("stop", "--time", "2", stand.container("etcd"))
        time.sleep(away_s)
        docker("start", stand.container("etcd"))

    return [
        Fault("clock 3 ms back", lambda: clocks[0].set(-0.003), 5),
        Fault("clock 500 ms back", lambda: clocks[0].set(-0.503), 5),
        Fault("clock 5 s back", lambda: clocks[0].set(-5.503), 10),
        Fault("a process killed", kill_a_process, 10),
        Fault("a service killed and restarted", kill_and_restart, 10),
        Fault("Redis flushed", lambda: _redis(stand, "FLUSHALL"), 5),
        Fault("Postgres restarted", lambda: _restart(stand, "postgres"), 10),
        Fault(f"etcd away for {away_s:g} s", etcd_away, 15),
        Fault("clock 1 h forward", lambda: clocks[1].set(3600), 10),
        Fault("a service killed while its clock is 1 h ahead", kill_and_restart, 10),
        Fault("clock 1 h back", lambda: clocks[1].set(0), 10),
        Fault("both services stopped and started", lambda: _cycle(services), 10),
    ]


def _redis(stand: Stand, command: str) -> None:
    docker("exec", stand.container("redis"), "redis-cli", command)


def _restart(stand: Stand, part: str) -> None:
    docker("restart", "--time", "5", stand.container(part))


def _cycle(services: list[Service]) -> None:
    for service in services:
        service.stop()
        service.start()
