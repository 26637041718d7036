"""Profiles: how a release goes, as data. Steps, windows, gates; checked whole before anything is touched.

Shares and error bounds keep the units people say: share in percent of the requests, rates as
fractions (0.01 is 1 %), times in seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from release.sample import LATENCY_EDGES_S

SHIPPED = Path(__file__).parent / "profiles"

WhenInconclusive = Literal["hold", "rollback", "promote"]


class ProfileError(Exception):
    """A profile can't be used. One line that names file, key, value and what is allowed."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gate(_Part):
    """One test of the candidate.

    absolute: rejects when the rate is shown to be above `threshold` (0 to 1), and must be shown to be
    below it before a step is promoted. relative: rejects when the rate is shown to be above `threshold`
    times the control's (>= 1); it can only object, since two versions without errors show nothing.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="how reports call this gate")
    sli: Literal["errors", "slow"] = Field(
        description="failed requests, or requests slower than slower_than_s"
    )
    kind: Literal["absolute", "relative"]
    threshold: float = Field(gt=0, description="absolute: a rate below 1; relative: a ratio of at least 1")
    slower_than_s: float | None = Field(
        None, description=f"sli slow only, a bucket edge: {', '.join(f'{e:g}' for e in LATENCY_EDGES_S)}"
    )
    alpha_share: float = Field(1.0, gt=0, description="weight of this gate when the release's alpha is split")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "absolute" and self.threshold >= 1:
            raise ValueError(
                f"threshold: {self.threshold:g} is not allowed; an absolute gate takes 0 < rate < 1"
            )
        if self.kind == "relative" and self.threshold < 1:
            raise ValueError(
                f"threshold: {self.threshold:g} is not allowed; a relative gate takes a ratio >= 1"
            )
        edges = ", ".join(f"{e:g}" for e in LATENCY_EDGES_S)
        if self.sli == "slow" and self.slower_than_s not in LATENCY_EDGES_S:
            raise ValueError(
                f"slower_than_s: {self.slower_than_s} is not allowed; use a bucket edge: {edges}"
            )
        if self.sli == "errors" and self.slower_than_s is not None:
            raise ValueError("slower_than_s: not allowed with sli errors; leave it out")
        return self


class Step(_Part):
    """One share of the traffic, and what must be seen before the next."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="what -e stage=... calls this step")
    share: float = Field(gt=0, le=100, description="percent of the requests that the candidate gets")
    interval_s: float = Field(gt=0, description="seconds between looks")
    min_samples: int | Literal["auto"] = Field(
        "auto",
        description="candidate requests before promotion; auto: what evidence for health needs at least",
    )
    shortest_s: float = Field(0, ge=0, description="seconds the step lasts even when health is shown earlier")
    longest_s: float | Literal["auto"] = Field(
        "auto", description="seconds after which on_inconclusive decides; auto: computed from the load"
    )
    on_inconclusive: WhenInconclusive = "hold"
    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.min_samples, int) and self.min_samples < 1:
            raise ValueError(f"min_samples: {self.min_samples} is not allowed; use auto or a number >= 1")
        if isinstance(self.longest_s, float | int):
            if self.longest_s < self.interval_s:
                raise ValueError(f"longest_s: {self.longest_s:g} is not allowed; use auto or >= interval_s")
            if self.longest_s < self.shortest_s:
                raise ValueError(f"longest_s: {self.longest_s:g} is not allowed; use auto or >= shortest_s")
        names = [gate.name for gate in self.gates]
        if len(set(names)) != len(names):
            raise ValueError(f"gates: {', '.join(names)} is not allowed; every name once")
        if not any(gate.kind == "absolute" for gate in self.gates):
            raise ValueError(
                "gates: only relative ones are not allowed; add an absolute gate, which can show health"
            )
        return self


class Profile(_Part):
    """A whole release. alpha bounds the chance to roll back a version that keeps every bound."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = Field(min_length=1)
    alpha: float = Field(0.01, gt=0, le=0.1, description="false rollbacks of a whole release, over all gates")
    health_alpha: float = Field(
        0.01, gt=0, le=0.1, description="false promotions: how sure each absolute gate must be of health"
    )
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names) or "all" in names:
            raise ValueError(
                f"steps: {', '.join(names)} is not allowed; every name once, and none called all"
            )
        shares = [step.share for step in self.steps]
        if shares != sorted(set(shares)) or shares[-1] != 100:
            said = ", ".join(f"{share:g}" for share in shares)
            raise ValueError(f"steps: shares {said} are not allowed; use rising ones that end at 100")
        return self

    def step(self, name: str) -> Step:
        """A step by name. Raises ProfileError."""
        for step in self.steps:
            if step.name == name:
                return step
        allowed = ", ".join(step.name for step in self.steps)
        raise ProfileError(f"stage: {name!r} is not a step of profile {self.name}; use {allowed} or all")


def shipped() -> dict[str, Path]:
    """Names and files of the profiles that ship."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yml"))}


def load_profile(name_or_path: str | Path) -> Profile:
    """A profile that ships, by name, or one from a file (a name with / or .yml). Raises ProfileError."""
    said = str(name_or_path)
    path = Path(said) if "/" in said or said.endswith((".yml", ".yaml")) else shipped().get(said)
    if path is None:
        allowed = ", ".join(shipped())
        raise ProfileError(f"profile: {said!r} is not known; use {allowed}, or the path of a .yml file")
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ProfileError(f"profile: {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile: {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ProfileError(
            f"profile: {path} holds a {type(content).__name__}; use a mapping of {_keys(Profile)}"
        )
    return parse_profile(content, source=str(path))


def parse_profile(content: dict[str, Any], source: str) -> Profile:
    """A profile from its mapping. `source` is what errors call it. Raises ProfileError."""
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        found = dict.fromkeys(_explain(e) for e in error.errors())
        raise ProfileError(f"{source}: " + "; ".join(found)) from None


def schema() -> dict[str, Any]:
    """JSON Schema of a profile file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Profile.model_json_schema()}


_PARTS: dict[str, type[_Part]] = {"": Profile, "steps": Step, "gates": Gate}


def _keys(part: type[_Part]) -> str:
    return ", ".join(part.model_fields)


def _explain(error: Any) -> str:
    """Pydantic's error as `steps[1].share: 150 is not allowed; use ...`."""
    location = list(error["loc"])
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    owner = next((p for p in reversed(location[:-1]) if isinstance(p, str) and p in _PARTS), "")
    part = _PARTS[owner]
    if error["type"] == "missing":
        return f"{where}: missing; {_allowed(part, str(location[-1]))}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; use {_keys(part)}"
    if error["type"] == "value_error":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}" if where else _bare(error["msg"])
    key = next((p for p in reversed(location) if p in part.model_fields), location[-1])
    where = where.split(f"{key}", 1)[0] + str(key) if where.count(str(key)) == 1 else where
    return f"{where}: {error['input']!r} is not allowed; {_allowed(part, str(key))}"


def _bare(message: str) -> str:
    return message.removeprefix("Value error, ")


def _allowed(part: type[_Part], key: str) -> str:
    """What a key takes, in words, from its schema."""
    described: dict[str, Any] = part.model_json_schema()["properties"].get(key, {})
    options = described.get("anyOf", [described])
    words = [_words(option) for option in options if option.get("type") != "null"]
    return "use " + " or ".join(word for word in words if word)


def _words(option: dict[str, Any]) -> str:
    if "enum" in option:
        return " or ".join(str(value) for value in option["enum"])
    if "const" in option:
        return str(option["const"])
    if option.get("type") in ("number", "integer"):
        bounds = [
            f"{sign} {option[key]:g}"
            for key, sign in (
                ("exclusiveMinimum", ">"),
                ("minimum", ">="),
                ("exclusiveMaximum", "<"),
                ("maximum", "<="),
            )
            if key in option
        ]
        return " ".join(["a number", " and ".join(bounds)]).strip()
    if "pattern" in option:
        return f"text like {option['pattern']}"
    return {"array": "a list with at least one item", "string": "text"}.get(
        option.get("type", ""), "a mapping"
    )
