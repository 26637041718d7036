"""Histories of several processes with a Redis that loses messages, values and itself at any moment."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.auth import keys
from app.auth.directory import TICK_S, TRUST_S, KeyDirectory
from app.auth.principal import AuthError, KeysUnavailableError
from tests.unit.app.auth.conftest import Clock, Database, Shared

TOKENS = [keys.make() for _ in range(3)]
PROCESSES = 3
PLACE = st.integers(0, PROCESSES - 1)
TOKEN = st.sampled_from(TOKENS)
UNIX = 1_800_000_000.0


class Histories(RuleBasedStateMachine):
    """The database is there; a process ticks every TICK_S; everything else may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.database, self.shared = Clock(50.0), Database(), Shared()
        self.revoked_at, self.copy, self.hears = {}, {}, [True] * PROCESSES
        for number, token in enumerate(TOKENS):
            self.database.add(token, number)
        self.processes = [self._process() for _ in range(PROCESSES)]
        self.shared.listeners.append(self._publish)

    def _process(self) -> KeyDirectory:
        new = KeyDirectory(self.database, self.clock, lambda: UNIX + self.clock(), redis=self.shared)
        new.tick()
        return new

    def _publish(self, message) -> None:
        for hears, process in zip(self.hears, self.processes, strict=True):
            if hears:
                process.on_message(message)

    @initialize()
    def warm(self) -> None:
        for process in self.processes[1:]:
            for token in TOKENS:
                process.authenticate(token)

    @rule(place=PLACE, token=TOKEN, says=st.booleans())
    def revoke(self, place, token, says) -> None:
        if token not in self.revoked_at:
            sha256 = self.database.revoke(token)
            self.revoked_at[token] = self.clock()
            if says:  # else the process died between the commit and the message
                self.processes[place].revoked(sha256)

    @rule(place=PLACE, token=TOKEN)
    def use(self, place, token) -> None:
        self._let_in(self.processes[place], token)

    @rule(place=PLACE, token=TOKEN)
    def change(self, place, token) -> None:
        self.processes[place].changed(keys.digest(token))

    @rule(seconds=st.sampled_from([0.5, 1.0, TICK_S]))
    def time_passes(self, seconds) -> None:
        while seconds > 0:
            self.clock.now += 0.5
            seconds -= 0.5
            if self.clock.now % TICK_S == 0:
                for process in self.processes:
                    process.tick()

    @rule(away=st.booleans())
    def redis_goes_or_comes(self, away) -> None:
        self.shared.away = away

    @rule()
    def redis_is_copied(self) -> None:
        self.copy = dict(self.shared.values)

    @rule()
    def redis_is_what_it_was_then(self) -> None:
        self.shared.values = dict(self.copy)

    @rule(place=PLACE, hears=st.booleans())
    def messages_are_lost_or_heard(self, place, hears) -> None:
        self.hears[place] = hears

    @rule(place=PLACE)
    def process_restarts(self, place) -> None:
        self.processes[place] = self._process()

    @invariant()
    def a_good_key_is_let_in_and_a_revoked_one_is_refused_in_time(self) -> None:
        for token in TOKENS:
            revoked_at = self.revoked_at.get(token)
            let_in = [self._let_in(process, token) for process in self.processes]
            if revoked_at is None:
                assert all(let_in)
            elif self.clock() - revoked_at >= TICK_S:
                assert not any(let_in)

    def _let_in(self, process, token) -> bool:
        try:
            return process.authenticate(token).key_id == TOKENS.index(token)
        except AuthError as error:
            assert error.slug == "key-revoked" and token in self.revoked_at
            return False


class WithoutTheDatabase(Histories):
    """It's away after each revocation; Redis is there and loses no value, only messages are lost."""

    @rule()
    def redis_is_what_it_was_then(self) -> None:
        pass

    @rule(away=st.booleans())
    def redis_goes_or_comes(self, away) -> None:
        self.database.away = away

    @rule(place=PLACE, token=TOKEN, says=st.booleans())
    def revoke(self, place, token, says) -> None:
        if token not in self.revoked_at:
            self.database.away = False
            sha256 = self.database.revoke(token)
            self.revoked_at[token] = self.clock()
            self.processes[place].revoked(sha256)
            self.database.away = True

    @rule(place=PLACE, token=TOKEN)
    def change(self, place, token) -> None:
        pass

    @rule(place=PLACE)
    def process_restarts(self, place) -> None:
        pass

    @invariant()
    def a_good_key_is_let_in_and_a_revoked_one_is_refused_in_time(self) -> None:
        for token in TOKENS:
            revoked_at = self.revoked_at.get(token)
            for process in self.processes[1:]:
                try:
                    let_in = self._let_in(process, token)
                except KeysUnavailableError:
                    assert revoked_at is not None
                    continue
                if revoked_at is None:
                    assert let_in
                elif self.clock() - revoked_at >= TRUST_S + TICK_S / 2:
                    assert not let_in

    @rule(place=PLACE, token=TOKEN)
    def use(self, place, token) -> None:
        pass


for machine in (Histories, WithoutTheDatabase):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
TestWithoutTheDatabase = WithoutTheDatabase.TestCase
