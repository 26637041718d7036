"""How a tag's IDs are made: what its row, etcd and the API all carry."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.ids import Format

MOST_IDS = 100_000
"""IDs of one request at most."""


class TagConfig(BaseModel):
    """Units: `segment_s` seconds, `step` IDs. `algorithm` may also be the name of a plugin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: str = Field("segment", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    format: Format = "any"
    step: int = Field(10_000, ge=1, le=100_000_000, description="IDs that one range has at least")
    step_policy: Literal["fixed", "duration", "velocity"] = "duration"
    segment_s: float = Field(900, gt=0, le=86_400, description="how long a range should last")
    max_id: int | None = Field(None, ge=1, le=2**63 - 1, description="segments end here")
    sequence_bits: Literal[10, 11] = 11
    max_count: int = Field(MOST_IDS, ge=1, le=MOST_IDS, description="IDs of one request at most")
    enabled: bool = True
