"""Beginning: a new release, or the open one where it stopped. Refuses what doesn't fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from release.engine.progress import Progress
from release.engine.request import WHOLE, BadRequest, Request
from release.engine.serving import Serving
from release.profile import Profile


class Refused(Exception):
    """What was asked doesn't fit the release that is open. Nothing was touched."""


@dataclass(frozen=True)
class Opening:
    """What the request means: begin a new release, go on with the open one, or only finish a report."""

    resume: bool
    #: The stage that was asked for is done already; nothing is left to do in it.
    reached: bool = False


def release_id(version: str, now: float) -> str:
    """`20260401T101500Z-1.4.0`: sorts by time."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{version}"


def fits(request: Request, profile: Profile, latest: Progress | None) -> Opening:
    """Whether a request can be carried out, given the latest release. Raises Refused or BadRequest."""
    if latest is None or not latest.open:
        _first_stage(request.stage, [step.name for step in profile.steps])
        return Opening(resume=False)
    _same(request, profile, latest)
    if latest.rollback is not None:
        return Opening(resume=True)
    return Opening(resume=True, reached=_stage_is_next(request.stage, latest))


def begin_data(
    request: Request, profile: Profile, serving: Serving, *, new_id: str, environment: str, by: str
) -> dict[str, Any]:
    """The journal's first entry: everything that a resumed release needs, so that no file can change it."""
    previous = None if serving.version is None else {"version": serving.version, "slot": serving.slot}
    return {
        "release_id": new_id,
        "environment": environment,
        "version": request.version,
        "candidate": serving.idle,
        "previous": previous,
        "profile": profile.model_dump(mode="json"),
        "steps": [step.name for step in profile.steps],
        "release_config": request.release_config,
        "by": by,
    }


def _first_stage(stage: str, steps: list[str]) -> None:
    if stage not in (WHOLE, steps[0]):
        raise Refused(
            f"stage: {stage!r} is out of order; no release is open, so begin with {steps[0]!r} or all"
        )


def _same(request: Request, profile: Profile, latest: Progress) -> None:
    """The open release is of the same version, profile and configuration as the request."""
    version = latest.version
    way_out = f"finish it (-e version={version}) or end it: ansible-playbook rollback.yml"
    if request.version != version:
        since = datetime.fromtimestamp(latest.began_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise Refused(
            f"version: {request.version!r} is refused while the release of {version} is open since {since}, "
            f"with {latest.share_bp / 100:g} % of the traffic; {way_out}"
        )
    opened: Mapping[str, Any] = latest.begin
    if opened["profile"] != profile.model_dump(mode="json"):
        name = opened["profile"]["name"]
        raise Refused(
            f"profile: {profile.name!r} isn't the one that {version} was begun with ({name}); {way_out}"
        )
    if opened["release_config"] != request.release_config:
        raise Refused(f"release_config: isn't the one that {version} was begun with; {way_out}")


def _stage_is_next(stage: str, latest: Progress) -> bool:
    """Whether the stage is done already (True), or the one to do (False). Raises Refused or BadRequest."""
    if stage == WHOLE:
        return False
    steps = list(latest.begin["steps"])
    if stage not in steps:
        raise BadRequest(f"stage: {stage!r} is not a step of the profile; use {', '.join((*steps, WHOLE))}")
    following = latest.next_step
    position = steps.index(following) if following else len(steps)
    if steps.index(stage) == position:
        return False
    if steps.index(stage) == position - 1:
        return True
    done = ", ".join(steps[:position]) or "none"
    raise Refused(
        f"stage: {stage!r} is out of order; done: {done}; next: {following or 'nothing is left'}, or all"
    )
