"""What a load run counted, as tests/k6/ids.js writes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class VersionCounts(_Model):
    """The answers of one version. Times in milliseconds, over all its answers."""

    requests: int
    ok: int
    failed_in_fault: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LoadSummary(_Model):
    """A whole run. `failed_outside_fault` are the lost requests; `not_sent` is load that k6 itself missed.

    Version `other`: no answer, or one without a known version.
    """

    requests: int
    failed: int
    failed_in_fault: int
    failed_outside_fault: int
    not_sent: int = 0
    rate_per_s: float
    duration_s: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    versions: dict[str, VersionCounts] = {}
