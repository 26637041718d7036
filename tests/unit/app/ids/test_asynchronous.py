"""The asynchronous face: what must wait does so beside the loop."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.ids import Batch, Id
from app.ids.asynchronous import Asynchronous
from app.ids.segment import DoubleBuffer, SegmentUnavailableError
from app.ids.uuids import Uuid7
from tests.unit.app.ids.simulated import Clock, Store, at_once, in_thread


def test_the_loop_goes_on_while_an_algorithm_waits():
    answer = threading.Event()

    def slow(size: int) -> range:
        answer.wait(5)
        return range(1, 101)

    async def main() -> tuple[Id, int]:
        face = Asynchronous(DoubleBuffer(slow, in_thread, lambda: 0.0))
        waiting = asyncio.ensure_future(face.generate())
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
            if turns == 5:
                answer.set()
        return await waiting, turns

    one, turns = asyncio.run(main())
    assert one == Id(1)
    assert turns >= 5


def test_what_needs_no_waiting_is_called_in_the_loop_and_the_rest_in_the_executor():
    threads: list[str] = []

    class Told(DoubleBuffer):
        def blocks(self, count: int) -> list[range]:
            threads.append(threading.current_thread().name)
            return super().blocks(count)

    async def main() -> list[Batch]:
        with ThreadPoolExecutor(1, thread_name_prefix="beside") as executor:
            face = Asynchronous(Told(Store(100).load, at_once, lambda: 0.0), executor)
            return [await face.batch(1), await face.batch(2), await face.batch(500)]

    batches = asyncio.run(main())
    assert [value for batch in batches for block in batch.blocks for value in block] == list(range(1, 504))
    assert [name.startswith("beside") for name in threads] == [True, False, True]


def test_an_algorithm_that_tells_nothing_of_waiting_runs_beside_the_loop():
    class Plain:
        name, kind = "plain", "int64"

        def generate(self) -> Id:
            return Id(threading.get_ident() % 2**62)

    async def main() -> Id:
        return await Asynchronous(Plain()).generate()

    assert asyncio.run(main()).value != threading.get_ident() % 2**62


def test_callers_at_once_share_no_id_and_errors_are_those_of_the_algorithm():
    async def main() -> None:
        face = Asynchronous(Uuid7(clock_ms=Clock().read, randomness=os.urandom))
        batches = await asyncio.gather(*(face.batch(100) for _ in range(50)))
        ids = [one for batch in batches for one in batch.ids()]
        ids.append(await face.generate())
        assert len(set(ids)) == len(ids) == 5_001
        with pytest.raises(ValueError, match="count: -1"):
            await face.batch(-1)
        store = Store(1)
        store.broken = True
        with pytest.raises(SegmentUnavailableError, match="no database"):
            await Asynchronous(DoubleBuffer(store.load, at_once, lambda: 0.0)).generate()

    asyncio.run(main())
