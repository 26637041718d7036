"""One holder's time with one worker id: how long it lasts, and up to which millisecond use is durable.

Nothing here asks etcd, so it can be used on a request's path.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.coordination.state_file import State, StateFile
from app.coordination.worker_keys import Claim
from app.ids import IdsUnavailableError

AHEAD_MS = 3_000
RETRY_S = 1.0


class NotHeldError(IdsUnavailableError):
    """This process holds no worker id that it may use now."""


class NotDurableError(IdsUnavailableError):
    """It can't be made durable that this millisecond is used, so it must not be."""


class FencedError(Exception):
    """A newer holder of the worker id exists."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """The fencing epochs, kept in Postgres.

    begin(worker, holder) -> (the new epoch, the last millisecond that earlier epochs reserved).
    reserve(worker, epoch, until_ms): makes "used up to here" durable, or raises `fenced` when a newer epoch
    exists. end(worker, epoch, last_ms): the epoch is over, and `last_ms` is what it really used last; may be
    left out. Anything else that they raise means that nothing is known now. They must come back within the
    lease's margin: give the database a time-out.
    """

    begin: Callable[[int, str], tuple[int, int]]
    reserve: Callable[[int, int, int], object]
    fenced: type[Exception] = FencedError
    end: Callable[[int, int, int], object] | None = None


class Tenure:
    """A held worker id. `worker`, `used_until_ms`, `usable` and `reserve` are what Snowflake needs.

    A tenure that is lost never becomes usable again; a generator belongs to one tenure.
    """

    def __init__(
        self,
        *,
        claim: Claim,
        epoch: int,
        used_until_ms: int,
        durable_until_ms: int,
        valid_until: float,
        datacenter: int,
        file: StateFile,
        epochs: Epochs,
        monotonic: Callable[[], float],
        horizon_ms: int,
        ahead_ms: int = AHEAD_MS,
    ) -> None:
        self.claim, self.worker, self.epoch = claim, claim.worker, epoch
        self.used_until_ms = used_until_ms
        self._durable_until_ms, self._valid_until = durable_until_ms, valid_until
        self._file, self._epochs, self._monotonic = file, epochs, monotonic
        self._horizon_ms, self._ahead_ms = horizon_ms, ahead_ms
        self._lost = ""
        self._ask_again_at = float("-inf")
        self._lock = threading.Lock()
        self._remember(State(datacenter, claim.worker, claim.lease, epoch, used_until_ms))

    def usable(self) -> bool:
        """Whether IDs may be issued now. Lock-free."""
        return not self._lost and self._monotonic() < self._valid_until

    def left_s(self) -> float:
        """Seconds until it must be renewed; 0 when lost."""
        return 0.0 if self._lost else max(0.0, self._valid_until - self._monotonic())

    @property
    def lost(self) -> str:
        """Why it's lost; empty while it isn't."""
        return self._lost

    @property
    def durable_until_ms(self) -> int:
        """Use up to this millisecond survives the loss of this host."""
        return self._durable_until_ms

    def reserve(self, ms: int) -> int:
        """Make "used up to here" durable before the first ID of `ms`; the millisecond up to which it is.

        Raises NotHeldError or NotDurableError, and then nothing of `ms` may be used. Writes the host's file;
        asks Postgres only when the clock jumped over what the renewals have reserved.
        """
        self._require()
        if ms > self._durable_until_ms:
            self._reserve_far(ms)
        with self._lock:
            self._require()  # under the lock: a later tenure's state must not be overwritten
            until_ms = min(ms + self._ahead_ms, self._durable_until_ms)
            if until_ms > self._file.state.used_until_ms:
                try:
                    self._remember(replace(self._file.state, used_until_ms=until_ms))
                except OSError as error:
                    raise NotDurableError(f"{self._file.path}: {error}") from error
        return until_ms

    def renewed(self, valid_until: float, durable_until_ms: int) -> None:
        """What a renewal has achieved."""
        with self._lock:
            self._valid_until = max(self._valid_until, valid_until)
            self._durable_until_ms = max(self._durable_until_ms, durable_until_ms)

    def lose(self, why: str) -> bool:
        """Never usable again from now on; whether this call did it."""
        with self._lock:
            first = not self._lost
            self._lost = self._lost or why
            return first

    def last_used_ms(self, last_ms: int) -> int:
        """The last millisecond that must count as used, if the generator says `last_ms`."""
        return max(last_ms, self.used_until_ms)

    def end(self, last_ms: int) -> None:
        """Lose it, and keep `last_ms` as the last one used. Raises OSError."""
        with self._lock:
            self._lost = self._lost or "given back"
            self._remember(replace(self._file.state, used_until_ms=last_ms))

    def _require(self) -> None:
        if not self.usable():
            why = self._lost or "its lease wasn't renewed in time"
            raise NotHeldError(f"worker id {self.worker} is not held: {why}")

    def _reserve_far(self, ms: int) -> None:
        now = self._monotonic()
        if now < self._ask_again_at:
            raise NotDurableError(f"{ms} ms lies beyond what is durable, which couldn't be extended")
        until_ms = ms + self._horizon_ms
        try:
            self._epochs.reserve(self.worker, self.epoch, until_ms)
        except self._epochs.fenced as error:
            self.lose(f"a newer holder exists: {error}")
            raise NotHeldError(f"worker id {self.worker} is not held: {self._lost}") from error
        except Exception as error:
            # One request a second finds out, the others are refused at once.
            self._ask_again_at = self._monotonic() + RETRY_S
            raise NotDurableError(f"{ms} ms lies beyond what is durable: {error}") from error
        with self._lock:
            self._durable_until_ms = max(self._durable_until_ms, until_ms)

    def _remember(self, state: State) -> None:
        self._file.write(state)
