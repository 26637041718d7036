"""The release's configuration file: `{"faults": [...]}`.

Example: `{"faults": [{"kind": "dependency", "mode": "slow", "share": 0.2, "delay_s": 0.8}]}`
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Share = Annotated[float, Field(gt=0, le=1, description="share of requests that suffer it")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CpuFault(_Strict):
    """Real compute while the interpreter lock is held. 100,000 rounds take about 50 ms."""

    kind: Literal["cpu"]
    mode: Literal["compute"] = "compute"
    share: Share
    rounds: int = Field(200_000, ge=1, le=20_000_000)


class DbFault(_Strict):
    """A query whose plan compares every row with every other. Time grows with the square of `rows`."""

    kind: Literal["db"]
    mode: Literal["slow_plan"] = "slow_plan"
    share: Share
    rows: int = Field(2_000, ge=10, le=20_000)


class DependencyFault(_Strict):
    """The policy service, asked past the cache, answers late (`slow`) or with an error (`error`)."""

    kind: Literal["dependency"]
    mode: Literal["slow", "error"]
    share: Share
    delay_s: float = Field(0.8, ge=0, le=10, description="seconds before the answer; for `slow`")


Fault = Annotated[CpuFault | DbFault | DependencyFault, Field(discriminator="kind")]


class ReleaseConfig(_Strict):
    """What a release brings along besides its code."""

    faults: tuple[Fault, ...] = ()


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
