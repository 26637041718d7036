"""A profile is checked whole, and what is wrong with it is said in one line."""

import json
from copy import deepcopy

import pytest
import yaml

from release.profile import SHIPPED, ProfileError, load_profile, parse_profile, schema, shipped

DEMO = yaml.safe_load((SHIPPED / "demo.yml").read_text())


def refused(change):
    content = deepcopy(DEMO)
    change(content)
    with pytest.raises(ProfileError) as caught:
        parse_profile(content, "x.yml")
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("canary", [("canary", 5), ("quarter", 25), ("full", 100)]),
        ("gray", [("canary", 5), ("half", 50), ("full", 100)]),
        ("demo", [("canary", 10), ("half", 50), ("full", 100)]),
    ],
)
def test_the_profiles_that_ship_have_their_steps(name, steps):
    assert [(step.name, step.share) for step in load_profile(name).steps] == steps


def test_a_gray_step_lasts_a_day():
    assert {step.shortest_s for step in load_profile("gray").steps} == {24 * 3600}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_half_of_the_alpha_goes_to_the_first_look_at_errors(name):
    gates = [gate for step in load_profile(name).steps for gate in step.gates]
    assert gates[0].name == "errors"
    assert gates[0].alpha_share / sum(gate.alpha_share for gate in gates) == 0.5


def test_the_schema_beside_the_profiles_is_up_to_date():
    assert json.loads((SHIPPED / "profile.schema.json").read_text()) == schema()


def test_an_unknown_profile_names_those_that_ship():
    with pytest.raises(
        ProfileError, match="profile: 'nope' is not known; use canary, demo, gray, or the path"
    ):
        load_profile("nope")


def test_a_profile_of_ones_own_is_read_from_its_file(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump({**DEMO, "name": "mine"}))
    assert load_profile(path).name == "mine"


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "is not YAML"), ("- 1", "holds a list"), (None, "No such file or directory")]
)
def test_a_file_that_is_no_profile_is_named(tmp_path, text, words):
    path = tmp_path / "mine.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ProfileError, match=words) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("weight", [150, -1, 0, 100.5])
def test_a_share_outside_0_to_100_is_named(weight):
    said = refused(lambda c: c["steps"][1].update(share=weight))
    assert said == f"x.yml: steps[1].share: {weight} is not allowed; use a number > 0 and <= 100"


@pytest.mark.parametrize("key", ["name", "description", "steps"])
def test_a_missing_key_of_the_profile_is_named(key):
    assert refused(lambda c: c.pop(key)).startswith(f"x.yml: {key}: missing; use ")


@pytest.mark.parametrize("key", ["name", "share", "interval_s", "gates"])
def test_a_missing_key_of_a_step_is_named(key):
    assert refused(lambda c: c["steps"][2].pop(key)).startswith(f"x.yml: steps[2].{key}: missing; use ")


@pytest.mark.parametrize("key", ["name", "sli", "kind", "threshold"])
def test_a_missing_key_of_a_gate_is_named(key):
    said = refused(lambda c: c["steps"][0]["gates"][1].pop(key))
    assert said.startswith(f"x.yml: steps[0].gates[1].{key}: missing; use ")


def gate(index, **values):
    """A change of one of the first step's gates."""
    return lambda c: c["steps"][0]["gates"][index].update(values)


def step(index=0, **values):
    """A change of one step."""
    return lambda c: c["steps"][index].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (step(wieght=3), "steps[0].wieght: unknown key; use name, share, interval_s"),
        (gate(0, sli="x"), "steps[0].gates[0].sli: 'x' is not allowed; use errors or slow"),
        (gate(0, kind="x"), "steps[0].gates[0].kind: 'x' is not allowed; use absolute or relative"),
        (gate(0, threshold=2), "threshold: 2 is not allowed; an absolute gate takes 0 < rate < 1"),
        (gate(2, threshold=0.5), "threshold: 0.5 is not allowed; a relative gate takes a ratio >= 1"),
        (gate(1, slower_than_s=0.3), "slower_than_s: 0.3 is not allowed; use a bucket edge: 0.005, 0.01"),
        (gate(1, slower_than_s=None), "slower_than_s: None is not allowed; use a bucket edge: 0.005, 0.01"),
        (gate(0, slower_than_s=1), "slower_than_s: not allowed with sli errors; leave it out"),
        (gate(1, name="errors"), "gates: errors, errors"),
        (
            lambda c: c["steps"][0].update(gates=c["steps"][0]["gates"][2:]),
            "only relative ones are not allowed",
        ),
        (step(gates=[]), "steps[0].gates: [] is not allowed; use a list with at least one item"),
        (step(min_samples="x"), "steps[0].min_samples: 'x' is not allowed; use a number or auto"),
        (step(min_samples=0), "min_samples: 0 is not allowed; use auto or a number >= 1"),
        (step(longest_s=1), "longest_s: 1 is not allowed; use auto or >= interval_s"),
        (step(longest_s=9, shortest_s=10), "longest_s: 9 is not allowed; use auto or >= shortest_s"),
        (step(on_inconclusive="x"), "on_inconclusive: 'x' is not allowed; use hold or rollback or promote"),
        (step(1, share=5), "steps: shares 10, 5, 100 are not allowed; use rising ones that end at 100"),
        (lambda c: c["steps"].pop(), "steps: shares 10, 50 are not allowed; use rising ones that end at 100"),
        (step(1, name="all"), "every name once, and none called all"),
        (lambda c: c.update(steps=[]), "steps: [] is not allowed; use a list with at least one item"),
        (lambda c: c.update(alpha=3), "alpha: 3 is not allowed; use a number > 0 and <= 0.1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(change, words):
    assert words in refused(change)


def test_an_unknown_stage_names_the_steps():
    with pytest.raises(
        ProfileError, match="stage: 'x' is not a step of profile demo; use canary, half, full or all"
    ):
        load_profile("demo").step("x")
