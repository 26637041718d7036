"""What faults there are, how each is described, and the release's file: `{"faults": [...]}`.

Example: `{"faults": [{"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 0.8}]}`
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_FAULTS = 8
Share = Annotated[float, Field(gt=0, le=1, description="share of requests that suffer it")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CpuFault(_Strict):
    """Real compute. `compute` keeps the interpreter lock; 100,000 rounds take about 50 ms.

    `lock`: the same amount of work is split over `threads` threads and the request itself, which fight for
    one lock of the process around it; the request waits for its turn.
    """

    kind: Literal["cpu"]
    mode: Literal["compute", "lock"] = "compute"
    share: Share
    rounds: int = Field(200_000, ge=1, le=20_000_000)
    threads: int = Field(8, ge=1, le=32, description="others that want the lock; for `lock`")


class DbFault(_Strict):
    """A query with a bad plan.

    `slow_plan` compares every row with every other: time grows with the square of `rows`. `missing_index`
    makes `lookups` look-ups by a column without an index in a table of 200,000 rows: each reads all of it.
    """

    kind: Literal["db"]
    mode: Literal["slow_plan", "missing_index"] = "slow_plan"
    share: Share
    rows: int = Field(2_000, ge=10, le=20_000, description="for `slow_plan`")
    lookups: int = Field(5, ge=1, le=200, description="for `missing_index`")


class DependencyFault(_Strict):
    """The policy service, asked past the cache, answers late (`slow`), with an error (`error`), or not at all
    until the client gives up (`timeout`)."""

    kind: Literal["dependency"]
    mode: Literal["slow", "timeout", "error"]
    share: Share
    delay_s: float = Field(0.8, ge=0, le=10, description="seconds before the answer; for `slow`")
    timeout_s: float = Field(2, ge=0.05, le=10, description="the client's patience in seconds; for `timeout`")


Fault = Annotated[CpuFault | DbFault | DependencyFault, Field(discriminator="kind")]
Faults = Annotated[tuple[Fault, ...], Field(max_length=MOST_FAULTS)]

MODES = {
    "cpu": ("compute", "lock"),
    "db": ("slow_plan", "missing_index"),
    "dependency": ("slow", "timeout", "error"),
}
"""Kinds and their modes."""


class ReleaseConfig(_Strict):
    """What a release brings along besides its code."""

    faults: Faults = ()


def read_release_config(path: Path | None) -> ReleaseConfig:
    """The checked content of the file; the default for None. Raises ValueError that names the key."""
    if path is None:
        return ReleaseConfig()
    try:
        return ReleaseConfig.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['input']!r} {e['msg']}" for e in error.errors()
        )
        raise ValueError(f"{path}: {wrong}") from None
