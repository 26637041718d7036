"""Any algorithm, awaited: in the loop where it needn't wait, else in a thread: the loop never stands."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from app.ids.model import Algorithm, Batch, Id, check_count

T = TypeVar("T")


class Asynchronous:
    """The asynchronous face of an algorithm; errors are those of its `generate` and `batch`.

    An algorithm may have `ready(count) -> bool`, true when a call now is expected not to wait: then it is
    called directly, which saves the hop (some 50 us). executor: where others run; None is the loop's own.
    A cancelled call may leave IDs that nobody got: a gap, never a repeat.
    """

    def __init__(self, algorithm: Algorithm, executor: Executor | None = None) -> None:
        self.algorithm, self._executor = algorithm, executor
        self._ready: Callable[[int], bool] = getattr(algorithm, "ready", lambda count: False)

    async def generate(self) -> Id:
        """One ID."""
        if self._ready(1):
            return self.algorithm.generate()
        return await self._in_thread(self.algorithm.generate)

    async def batch(self, count: int) -> Batch:
        """`count` IDs, all or none."""
        check_count(count)
        if self._ready(count):
            return self.algorithm.batch(count)
        return await self._in_thread(lambda: self.algorithm.batch(count))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)
