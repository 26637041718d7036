"""A tag is served by its own algorithm, while that can't by the next, and then by its own again."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids import Batch, Health, Id, IdsUnavailableError
from app.ids.router import ChainUnavailableError, Router, Switch, chain_for


class Source:
    """An algorithm that works while `broken` is None."""

    def __init__(self, name: str) -> None:
        self.name, self.kind = name, "int64"
        self.broken: Exception | None = None
        self.says_it_can, self.asked = True, 0
        self._numbers = itertools.count(1)

    def generate(self) -> Id:
        return next(self.batch(1).ids())

    def batch(self, count: int) -> Batch:
        self.asked += 1
        if count < 1:
            raise ValueError("never mind what")
        if self.broken:
            raise self.broken
        return Batch("int64", tuple(range(n, n + 1) for n in itertools.islice(self._numbers, count)))

    def health(self) -> Health:
        able = self.broken is None or self.says_it_can
        return Health(able, "" if able else str(self.broken))

    def metrics(self) -> dict[str, float]:
        return {}


class Bench:
    def __init__(self, *names: str) -> None:
        self.sources, self.told, self.now_s = [Source(name) for name in names], [], 0.0
        self.router = Router(
            self.sources, tag="orders", monotonic=lambda: self.now_s, on_switch=self.told.append
        )

    def served_by(self) -> str:
        return self.router.batch(1)[0]


DOWN = IdsUnavailableError("no range")


def test_a_healthy_tag_is_served_by_its_own_algorithm_and_nothing_is_told():
    bench = Bench("segment", "snowflake")
    name, batch = bench.router.batch(3)
    assert (name, len(batch)) == ("segment", 3)
    assert bench.told == []
    assert bench.sources[1].asked == 0
    assert bench.router.metrics() == {"degraded": 0, "switches": 0}
    assert bench.router.active.name == "segment"


def test_a_tag_goes_down_its_chain_and_each_switch_is_told_with_its_reason():
    bench = Bench("segment", "snowflake", "uuid7")
    bench.sources[0].broken = DOWN
    assert bench.served_by() == "snowflake"
    bench.sources[1].broken = RuntimeError()
    assert bench.served_by() == "uuid7"
    assert bench.told == [
        Switch("orders", "segment", "snowflake", "no range", False),
        Switch("orders", "snowflake", "uuid7", "RuntimeError", False),
    ]
    assert bench.router.metrics() == {"degraded": 2, "switches": 2}


def test_while_degraded_the_broken_algorithm_is_asked_once_a_second_only():
    bench = Bench("segment", "snowflake")
    bench.sources[0].broken = DOWN
    for _ in range(100):
        assert bench.served_by() == "snowflake"
    assert bench.sources[0].asked == 1
    bench.now_s += 1
    for _ in range(100):
        assert bench.served_by() == "snowflake"
    assert bench.sources[0].asked == 2
    bench.now_s += 1
    bench.sources[0].says_it_can = False
    bench.served_by()
    assert bench.sources[0].asked == 2, "it says itself that it can't"
    assert len(bench.told) == 1


def test_the_way_back_is_automatic_and_told():
    bench = Bench("segment", "snowflake", "uuid7")
    bench.sources[0].broken = bench.sources[1].broken = DOWN
    assert bench.served_by() == "uuid7"
    bench.sources[1].broken = None
    assert bench.served_by() == "uuid7"
    bench.now_s += 1
    assert bench.served_by() == "snowflake"
    bench.sources[0].broken = None
    bench.now_s += 1
    assert bench.served_by() == "segment"
    assert bench.told[1:] == [
        Switch("orders", "uuid7", "snowflake", "it can issue again", True),
        Switch("orders", "snowflake", "segment", "it can issue again", True),
    ]
    assert bench.served_by() == "segment"


def test_when_the_substitute_fails_before_the_second_is_over_the_own_algorithm_is_tried():
    bench = Bench("segment", "snowflake")
    bench.sources[0].broken = DOWN
    bench.served_by()
    bench.sources[0].broken, bench.sources[1].broken = None, DOWN
    assert bench.served_by() == "segment"
    assert bench.told[-1].back


def test_when_nothing_can_issue_the_refusal_names_every_reason_and_what_raised_it():
    bench = Bench("segment", "snowflake")
    bench.sources[0].broken, bench.sources[1].broken = DOWN, IdsUnavailableError("clock")
    for _ in range(2):
        with pytest.raises(ChainUnavailableError) as refused:
            bench.served_by()
        assert str(refused.value) == "tag orders: segment: no range; snowflake: clock"
        assert refused.value.causes == {"segment": DOWN, "snowflake": bench.sources[1].broken}
    assert bench.told == []
    for source in bench.sources:
        source.says_it_can = False
    assert bench.router.health() == Health(False, "segment: no range; snowflake: clock")
    bench.sources[1].broken = None
    assert bench.router.health() == Health(True)


@pytest.mark.parametrize("degraded", [False, True])
def test_a_wrong_count_is_the_callers_mistake_and_no_reason_to_switch(degraded):
    bench = Bench("segment", "snowflake")
    if degraded:
        bench.sources[0].broken = DOWN
        bench.served_by()
    told = len(bench.told)
    with pytest.raises(ValueError, match="count: 0 is not allowed"):
        bench.router.batch(0)
    assert len(bench.told) == told


def test_an_empty_chain_is_refused():
    with pytest.raises(ValueError, match="chain of tag orders"):
        Bench()


def test_who_failed_over_late_does_not_undo_what_others_found_out():
    bench = Bench("segment", "snowflake", "uuid7")
    bench.router._serve_from(1, {0: DOWN})
    bench.router._serve_from(1, {0: DOWN})
    bench.router._serve_from(2, {0: DOWN})
    assert bench.router.active.name == "snowflake"
    assert len(bench.told) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 2)), max_size=40))
def test_switches_form_one_path_and_a_tag_is_served_whenever_one_of_its_chain_can(events):
    bench = Bench("segment", "snowflake", "uuid7")
    for place, works, passed_s in events:
        bench.sources[place].broken = None if works else DOWN
        bench.now_s += passed_s
        if any(source.broken is None for source in bench.sources):
            name = bench.served_by()
            assert next(s for s in bench.sources if s.name == name).broken is None
            assert name == bench.router.active.name
        else:
            with pytest.raises(IdsUnavailableError):
                bench.served_by()
    at = "segment"
    for switch in bench.told:
        assert switch.from_ == at != switch.to
        at = switch.to
    assert bench.router.active.name == at


@pytest.mark.parametrize(
    ("algorithm", "format", "chain"),
    [
        ("segment", "any", ("segment", "snowflake", "uuid7", "uuid4")),
        ("snowflake", "string", ("snowflake", "uuid7", "uuid4")),
        ("uuid7", "any", ("uuid7", "uuid4")),
        ("uuid4", "uuid", ("uuid4",)),
        ("uuid7", "uuid", ("uuid7", "uuid4")),
        ("segment", "int64", ("segment", "snowflake")),
        ("snowflake", "int64", ("snowflake", "segment")),
        ("plugin", "any", ("plugin", "uuid7", "uuid4")),
        ("plugin", "int64", ("plugin",)),
    ],
)
def test_the_chain_follows_from_the_tags_algorithm_and_format(algorithm, format, chain):
    assert chain_for(algorithm, format) == chain


@pytest.mark.parametrize(
    ("algorithm", "format"),
    [("uuid7", "int64"), ("uuid4", "int64"), ("segment", "uuid"), ("snowflake", "uuid")],
)
def test_an_algorithm_whose_ids_do_not_fit_the_format_is_refused(algorithm, format):
    with pytest.raises(ValueError, match=f"algorithm: {algorithm} is not allowed with format {format}"):
        chain_for(algorithm, format)
