"""A deterministic scheduler: runs a few small threads in every order, one at a time.

Threads hand over at yield points only: before a lock is taken, at a wait, where a test says `pause`, and, if
asked for, before every line of the product's modules under test. `explore` repeats a scenario with every
sequence of choices, depth first, or with those that preempt a runnable thread at most so many times (most
bugs need one or two: Musuvathi and Qadeer, "Iterative context bounding", 2007).
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import ClassVar
from unittest import mock


class Deadlock(AssertionError):
    """No thread can go on."""


class _Abort(BaseException):
    """Ends a thread whose run is over."""


class _Baton:
    """Blocks until given; giving it twice is as once. A lock, as threading.Semaphore is ten times slower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def give(self) -> None:
        if self._lock.locked():
            self._lock.release()

    def take(self) -> None:
        self._lock.acquire()


class _Worker:
    """A real thread, used again and again: starting one costs more than most runs."""

    idle: ClassVar[list["_Worker"]] = []

    def __init__(self) -> None:
        self._wake = _Baton()
        self._job: Callable[[_Worker], None]
        threading.Thread(target=self._loop, daemon=True).start()

    @classmethod
    def run(cls, job: Callable[["_Worker"], None]) -> None:
        """Run `job`, which puts the worker back into `idle` before it tells others that it's over."""
        worker = cls.idle.pop() if cls.idle else cls()
        worker._job = job
        worker._wake.give()

    def _loop(self) -> None:
        while True:
            self._wake.take()
            self._job(self)


class _Task:
    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.go = _Baton()
        self.can_go: Callable[[], bool] = lambda: True
        self.timeout_s: float | None = None
        self.timed_out = self.done = False


class Lock:
    """Reentrant; stands for threading.Lock and RLock."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self._scheduler, self._owner, self._depth = scheduler, None, 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner != me:
            self._scheduler.pause(lambda: self._owner is None)
            self._owner = me
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None

    def release_all(self) -> int:
        depth, self._depth, self._owner = self._depth, 0, None
        return depth

    def take_back(self, depth: int) -> None:
        self._owner, self._depth = threading.get_ident(), depth

    def free(self) -> bool:
        return self._owner is None


class NoLock:
    """A lock that locks nobody out: a planted bug."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Condition:
    """Stands for threading.Condition over a Lock of the same scheduler."""

    def __init__(self, scheduler: "Scheduler", lock: Lock) -> None:
        self._scheduler, self._lock, self._round = scheduler, lock, 0

    def wait(self, timeout: float | None = None) -> bool:
        entered, depth = self._round, self._lock.release_all()
        timed_out = self._scheduler.pause(
            lambda: self._round > entered and self._lock.free(), timeout, self._lock.free
        )
        self._lock.take_back(depth)
        return not timed_out

    def notify_all(self) -> None:
        self._round += 1


class Scheduler:
    """What one run needs; it also stands for the module `threading` in the modules under test."""

    def __init__(self, choose: Callable[[list[int], int], int], traced: frozenset[str]) -> None:
        self._choose, self._traced = choose, traced
        self._tasks: list[_Task] = []
        self._running = -1
        self._over = _Baton()
        self._failure: BaseException | None = None
        self._local = threading.local()
        self.now_s = 0.0

    def Lock(self) -> Lock:  # noqa: N802
        return Lock(self)

    RLock = Lock

    def Condition(self, lock: Lock) -> Condition:  # noqa: N802
        return Condition(self, lock)

    def monotonic(self) -> float:
        """Seconds, advanced by timeouts alone, which strike when nobody else can go on."""
        return self.now_s

    def spawn(self, work: Callable[[], None]) -> None:
        """A further thread of this run."""
        task = _Task(work)
        self._tasks.append(task)
        _Worker.run(lambda worker: self._run_task(task, worker))

    def run(self, *works: Callable[[], None]) -> None:
        """Run to the end; raises what a thread raised, or Deadlock."""
        for work in works:
            self.spawn(work)
        self._hand_over()
        self._over.take()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """End the threads that were spawned after the run."""
        self._end(_Abort())

    def pause(
        self,
        can_go: Callable[[], bool] = lambda: True,
        timeout_s: float | None = None,
        can_go_late: Callable[[], bool] = lambda: True,
    ) -> bool:
        """A yield point: goes on when chosen, which it may be once `can_go`. True when it timed out."""
        task = getattr(self._local, "task", None)
        if task is None:  # the test itself, before or after the run
            return False
        task.can_go, task.timeout_s, task.timed_out = can_go, timeout_s, False
        task.can_go_late = can_go_late
        self._hand_over(task)
        return task.timed_out

    def _hand_over(self, current: _Task | None = None) -> None:
        chosen = self._next()
        if chosen is current and chosen is not None:
            return
        if chosen is None:
            self._over.give()
        else:
            chosen.go.give()
        if current is not None:
            self._wait_for_turn(current)

    def _wait_for_turn(self, task: _Task) -> None:
        task.go.take()
        if self._failure is not None:
            raise _Abort

    def _next(self) -> _Task | None:
        """The thread to go on; None when the run is over."""
        if self._failure is not None:
            return None
        waiting = [index for index, task in enumerate(self._tasks) if not task.done]
        if not waiting:
            return None
        able = [index for index in waiting if self._tasks[index].can_go()]
        if not able:
            late = [
                index
                for index in waiting
                if self._tasks[index].timeout_s is not None and self._tasks[index].can_go_late()
            ]
            if not late:
                self._end(Deadlock(f"{len(waiting)} threads wait for each other"))
                return None
            first = min(late, key=lambda index: self._tasks[index].timeout_s or 0)
            self.now_s += self._tasks[first].timeout_s or 0
            self._tasks[first].timed_out = True
            able = [first]
        self._running = self._choose(able, self._running)
        return self._tasks[self._running]

    def _end(self, failure: BaseException) -> None:
        self._failure = failure
        for task in self._tasks:
            task.go.give()

    def _run_task(self, task: _Task, worker: _Worker) -> None:
        self._local.task = task
        try:
            self._wait_for_turn(task)
            if self._traced:
                sys.settrace(self._trace)
            task.work()
        except _Abort:
            return
        except BaseException as error:
            self._end(error)
        finally:
            sys.settrace(None)
            task.done = True
            _Worker.idle.append(worker)
        self._hand_over()

    def _trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., object] | None:
        if frame.f_code.co_filename not in self._traced:
            return None
        if event == "line":
            self.pause()
        return self._trace


def explore(
    scenario: Callable[[Scheduler], None],
    *modules: ModuleType,
    preemptions: int | None = None,
    lines: bool = False,
    most: int = 200_000,
) -> int:
    """Run `scenario` in every order; how many there were. What it raises in one of them is raised.

    modules: those whose `threading` is the scheduler meanwhile. lines: their lines are yield points, too.
    """
    traced = frozenset(str(Path(module.__file__ or "")) for module in modules) if lines else frozenset()
    prefix: list[int] = []
    for runs in range(1, most + 1):
        chooser = _Chooser(prefix, preemptions)
        scheduler = Scheduler(chooser.choose, traced)
        with _instead_of_threading(modules, scheduler):
            try:
                scenario(scheduler)
            finally:
                scheduler.abandon()
        prefix = chooser.following()
        if not prefix:
            return runs
    raise AssertionError(f"more than {most} orders")


class _Chooser:
    """Follows a prefix of choices, then goes on with the same thread where it can; remembers what it did."""

    def __init__(self, prefix: list[int], preemptions: int | None) -> None:
        self._prefix, self._left = prefix, preemptions
        self._made: list[tuple[int, int]] = []  # (choice, of how many)

    def choose(self, able: list[int], last: int) -> int:
        options = sorted(able, key=lambda index: index != last)
        preempting = options[0] == last
        if preempting and self._left == 0:
            options = options[:1]
        at = len(self._made)
        choice = self._prefix[at] if at < len(self._prefix) else 0
        self._made.append((choice, len(options)))
        if preempting and choice and self._left is not None:
            self._left -= 1
        return options[choice]

    def following(self) -> list[int]:
        """The next prefix, depth first; empty after the last."""
        made = self._made
        while made and made[-1][0] + 1 >= made[-1][1]:
            made.pop()
        return [choice for choice, _ in made[:-1]] + [made[-1][0] + 1] if made else []


@contextmanager
def _instead_of_threading(modules: tuple[ModuleType, ...], scheduler: Scheduler) -> Iterator[None]:
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "threading", scheduler))
        yield
