"""Issues a tag's IDs and leases ranges of them. Knows no framework: HTTP and gRPC call it."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from app.coordination.lease import WorkerIdsExhaustedError
from app.ids import IdsUnavailableError, encoding
from app.ids.layout import Layout
from app.ids.model import Batch, Id
from app.observing import tracing
from app.plugins.registry import UnknownPluginError
from app.policies import DependencyFailedError, Policy
from app.server import problems
from app.server.logs import logger
from app.server.problem_kinds import KINDS
from app.server.problems import ProblemError
from app.storage.segments import SegmentExhaustedError
from app.tag_config import MOST_IDS, TagConfig

MOST_LEASED = 10_000_000
"""IDs of one lease at most."""

MEANINGS: Mapping[type[Exception], str] = {
    SegmentExhaustedError: "tag-exhausted",
    WorkerIdsExhaustedError: "worker-ids-exhausted",
    UnknownPluginError: "ids-unavailable",
}
"""Which problem an error is, wherever in the chain of causes it stands."""

_LONGEST_COUNT = 12  # digits; more is refused before it is read as a number
_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

Form = Literal["json", "ndjson", "octets"]
T = TypeVar("T")


class Configured(Protocol):
    """What issuing needs of a tag."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> TagConfig: ...


class Tags(Protocol):
    """Tags by name; raises what the database raises for a name never seen."""

    def find(self, workspace_id: int, name: str) -> Configured | None: ...


class Router(Protocol):
    """A tag's algorithms in order; returns the name of the one used. Raises IdsUnavailableError."""

    def batch(self, count: int) -> tuple[str, Batch]: ...


class Policies(Protocol):
    """The policy service's word on a tag. Never raises."""

    def of(self, tag: str) -> Policy: ...


class Injector(Protocol):
    """Lets the faults that a request draws happen; their kinds go into `touched`."""

    def strike(self, tag: str, touched: list[str]) -> None: ...


class Answer(NamedTuple):
    """A success as HTTP sends it."""

    body: bytes
    content_type: str
    headers: Sequence[tuple[str, str]] = ()


class Issuing:
    """tags: by workspace and name. router_for: a tag's router; may raise a ProblemError (`not-ready`).
    ranges: that many IDs of a segment tag, which nobody else has or gets. observed: told the algorithm
    (`none` when it failed), the outcome (ok, refused, error), seconds and IDs of each request; leased: the
    outcome and IDs. slugs: as MEANINGS.
    """

    def __init__(
        self,
        *,
        tags: Tags,
        router_for: Callable[[Any], Router],
        ranges: Callable[[Any, int], Sequence[range]],
        policies: Policies,
        injector: Injector,
        observed: Callable[[str, str, float, int], None] = lambda algorithm, outcome, seconds, ids: None,
        leased: Callable[[str, int], None] = lambda outcome, ids: None,
        slugs: Mapping[type[Exception], str] | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._tags, self._router_for, self._ranges = tags, router_for, ranges
        self._policies, self._injector = policies, injector
        self._observed, self._leased, self._monotonic = observed, leased, monotonic
        self._slugs = MEANINGS if slugs is None else slugs

    def issue(
        self,
        principal: Any,
        tag: str,
        count: int | str,
        form: Form = "json",
        touched: list[str] | None = None,
    ) -> Answer:
        """`count` new IDs in a form of HTTP. Raises ProblemError. touched: gets the faults that struck."""
        return self._issue(principal, tag, count, ANSWERS[form], touched)

    def batch(
        self, principal: Any, tag: str, count: int, touched: list[str] | None = None
    ) -> tuple[str, Batch]:
        """`count` new IDs and the name of the algorithm that made them. Raises ProblemError."""
        return self._issue(principal, tag, count, _as_it_is, touched)

    def lease(
        self, principal: Any, tag: str, count: int | str | None = None, touched: list[str] | None = None
    ) -> tuple[str, Batch]:
        """`count` IDs of a segment tag, as many as its step without, and `segment`. Raises ProblemError."""
        outcome, ids = "error", 0
        try:
            wanted = None if count is None else checked_count(count, MOST_LEASED)
            found = self._find(principal.workspace_id, tag, touched)
            self._allow(found)
            if found.config.algorithm != "segment":
                detail = f"tag: {problems.shown(tag)} is of {found.config.algorithm!r}; allowed: 'segment'"
                raise problems.of("lease-not-possible", detail)
            size = min(found.config.step, MOST_LEASED) if wanted is None else wanted
            batch = Batch("int64", tuple(self._ranges(found, size)))
            outcome, ids = "ok", len(batch)
            return "segment", batch
        except ProblemError as problem:
            outcome = _outcome(problem)
            raise
        except Exception as error:
            told = self._problem(error, tag)
            if told is None:
                raise
            outcome = _outcome(told)
            raise told from error
        finally:
            self._leased(outcome, ids)

    def decode(
        self, principal: Any, text: str, tag: str = "", sequence_bits: int | None = None
    ) -> dict[str, object]:
        """What an ID tells by itself, without members that it doesn't tell. Raises ProblemError.

        `algorithm` is `unknown` for UUIDs of other makers; `time` is RFC 3339 in UTC. How a snowflake is laid
        out is said by `sequence_bits`, else by the tag that it was made for, else it's the default.
        """
        try:
            parsed = Id.parse(text)
        except ValueError:
            allowed = "a decimal number from 0 to 2^63 - 1, or a UUID as 8-4-4-4-12 hexadecimal digits"
            detail = f"id: {problems.shown(text)} is not allowed; allowed: {allowed}"
            raise problems.of("bad-id", detail) from None
        if sequence_bits is None:
            sequence_bits = self._sequence_bits(principal, tag) if tag else Layout().sequence_bits
        told = encoding.decode(parsed, Layout(sequence_bits))
        fields: dict[str, object] = {"id": str(parsed), "time": told.time, **asdict(told)}
        if told.algorithm == "snowflake":
            fields["sequence_bits"] = sequence_bits
        return {name: value for name, value in fields.items() if value is not None}

    def _sequence_bits(self, principal: Any, name: str) -> int:
        try:
            tag = self._tags.find(principal.workspace_id, name) if _TAG.fullmatch(name) else None
        except Exception as error:
            if told := self._problem(error, name):
                raise told from error
            raise
        if tag is None:
            raise problems.unknown_tag(name)
        return tag.config.sequence_bits

    def _issue(
        self,
        principal: Any,
        name: str,
        count: int | str,
        encode: Callable[[str, Batch], T],
        touched: list[str] | None,
    ) -> T:
        started = self._monotonic()
        algorithm, outcome, ids = "none", "error", 0
        try:
            wanted = checked_count(count, MOST_IDS)
            tag = self._find(principal.workspace_id, name, touched)
            most = min(self._allow(tag).max_count, tag.config.max_count)
            if wanted > most:
                raise problems.bad_count(count, most)
            with tracing.span("draw") as span:
                used, batch = self._router_for(tag).batch(wanted)
                span.set("plumbline.algorithm", used)
            answer = encode(used, batch)
            algorithm, outcome, ids = used, "ok", wanted
            return answer
        except ProblemError as problem:
            outcome = _outcome(problem)
            raise
        except Exception as error:
            told = self._problem(error, name)
            if told is None:
                raise
            outcome = _outcome(told)
            raise told from error
        finally:
            self._observed(algorithm, outcome, self._monotonic() - started, ids)

    def _find(self, workspace_id: int, name: str, touched: list[str] | None) -> Configured:
        tag = self._tags.find(workspace_id, name) if _TAG.fullmatch(name) else None
        if tag is None:
            raise problems.unknown_tag(name)
        self._injector.strike(name, [] if touched is None else touched)
        return tag

    def _allow(self, tag: Configured) -> Policy:
        policy = self._policies.of(tag.name)
        if not (policy.enabled and tag.config.enabled):
            raise problems.tag_disabled(tag.name)
        return policy

    def _problem(self, error: Exception, tag: str) -> ProblemError | None:
        """What the caller is told; None where it is a mistake of ours."""
        slugs = [self._slug(one) for one in getattr(error, "causes", {"": error}).values()]
        if slugs and set(slugs) == {"tag-exhausted"}:
            return problems.of("tag-exhausted", f"tag: {problems.shown(tag)} has reached its maximum")
        # An algorithm that is used up for good, while another fails for now, is no reason to give up.
        if slug := next((slug for slug in slugs if slug and slug != "tag-exhausted"), None):
            return problems.unavailable(slug, KINDS[slug].title)
        if isinstance(error, IdsUnavailableError):
            # Its text may quote what the store said, which is not for callers.
            detail = f"tag: {problems.shown(tag)} has no algorithm that can issue now"
            return problems.unavailable("ids-unavailable", detail)
        if isinstance(error, DependencyFailedError):
            return problems.unavailable("dependency-failed", "the policy service failed")
        if isinstance(error, SQLAlchemyError):
            logger().error("database failed", tag=tag, error=str(error)[:500])
            return problems.unavailable("database-unavailable", "the database does not answer")
        return None

    def _slug(self, error: BaseException | None) -> str | None:
        """What an error means, by the first in its chain of causes that means anything."""
        while error is not None:
            for kind, slug in self._slugs.items():
                if isinstance(error, kind):
                    return slug
            error = error.__cause__
        return None


def checked_count(given: int | str, most: int) -> int:
    """The count, 1 to `most`; from text only ASCII digits. Raises the problem `bad-count`."""
    count = given
    if isinstance(count, str):
        if not (count.isascii() and count.isdigit() and len(count) <= _LONGEST_COUNT):
            raise problems.bad_count(given, most)
        count = int(count)
    if not 1 <= count <= most:
        raise problems.bad_count(given, most)
    return count


def _as_json(algorithm: str, batch: Batch) -> Answer:
    ids = encoding.to_json_strings(batch)
    return Answer(b'{"ids":%b,"algorithm":"%b"}' % (ids, algorithm.encode()), "application/json")


def _as_ndjson(algorithm: str, batch: Batch) -> Answer:
    return Answer(encoding.to_ndjson(batch), "application/x-ndjson", _described(algorithm, batch))


def _as_octets(algorithm: str, batch: Batch) -> Answer:
    return Answer(encoding.to_octets(batch), "application/octet-stream", _described(algorithm, batch))


def _described(algorithm: str, batch: Batch) -> tuple[tuple[str, str], ...]:
    return (("X-Id-Algorithm", algorithm), ("X-Id-Kind", batch.kind))


def _as_it_is(algorithm: str, batch: Batch) -> tuple[str, Batch]:
    return algorithm, batch


ANSWERS: Mapping[str, Callable[[str, Batch], Answer]] = {
    "json": _as_json, "ndjson": _as_ndjson, "octets": _as_octets,
}  # fmt: skip


def _outcome(problem: ProblemError) -> str:
    return "refused" if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else "error"
