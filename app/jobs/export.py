"""One export: so many IDs of a tag, as one file of one kind of ID.

An export never degrades to another algorithm as a request may: half a file of numbers and half of UUIDs helps
nobody. It waits and is tried again. An attempt that ends early leaves a gap in the tag's IDs, never a repeat:
what it drew is not drawn again.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from app.ids import encoding
from app.ids.model import Batch
from app.jobs.store import Store
from app.storage.tags import Tag

KIND = "export"
MOST_EXPORTED = 10_000_000
CHUNK = 50_000
"""IDs drawn and written at once: some megabytes, and less than 0.1 s between two looks at `keep_on`."""

RANGE = 1_000_000
"""IDs of one range of a segment tag: one transaction each."""

ExportFormat = Literal["ndjson", "octets"]
ENCODERS: Mapping[ExportFormat, Callable[[Batch], bytes]] = {
    "ndjson": encoding.to_ndjson,
    "octets": encoding.to_octets,
}
MEDIA_TYPES: Mapping[ExportFormat, str] = {
    "ndjson": "application/x-ndjson",
    "octets": "application/octet-stream",
}


class ExportRequest(BaseModel):
    """What is exported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    count: int = Field(ge=1, le=MOST_EXPORTED, description="how many IDs")
    format: ExportFormat = Field(
        "ndjson", description="ndjson: a JSON string a line; octets: 8 a number, 16 a UUID, big-endian"
    )


class ImpossibleError(Exception):
    """The export can't be made, and trying again wouldn't help. The message is for its owner."""


class StoppedError(Exception):
    """The caller's `keep_on` said no."""


class Generates(Protocol):
    """An algorithm; `app.ids.model.Algorithm`."""

    def batch(self, count: int) -> Batch: ...


class Drawing:
    """IDs for exports.

    find: a tag by workspace and name. ranges(tag, size): IDs of a segment tag that nobody else has or gets,
    as many as `size` or fewer. generator(tag): the algorithm of any other tag, None where this worker has
    none; it may raise IdsUnavailableError.
    """

    def __init__(
        self,
        find: Callable[[int, str], Tag | None],
        ranges: Callable[[Tag, int], Sequence[range]],
        generator: Callable[[Tag], Generates | None],
    ) -> None:
        self._find, self._ranges, self._generator = find, ranges, generator

    def source(self, workspace_id: int, name: str, total: int) -> Callable[[int], Batch]:
        """A function that draws at most so many IDs of the tag, `total` in all. Raises ImpossibleError."""
        tag = self._find(workspace_id, name)
        if tag is None:
            raise ImpossibleError(f"tag: {name!r} does not exist")
        if not tag.config.enabled:
            raise ImpossibleError(f"tag: {name!r} is disabled")
        if tag.config.algorithm == "segment":
            return _Slices(lambda size: self._ranges(tag, size), total).take
        generator = self._generator(tag)
        if generator is None:
            raise ImpossibleError(
                f"tag: {name!r} is of the algorithm {tag.config.algorithm!r}, which no export worker has here"
            )
        return generator.batch


class _Slices:
    """Takes slices of large ranges, so that few of them are asked for; of no more IDs than `total`."""

    def __init__(self, ranges: Callable[[int], Sequence[range]], total: int) -> None:
        self._ranges, self._wanted = ranges, total
        self._held: deque[range] = deque()

    def take(self, count: int) -> Batch:
        if not self._held:
            self._held.extend(self._ranges(min(RANGE, self._wanted)))
        first = self._held.popleft()
        if len(first) > count:
            self._held.appendleft(first[count:])
        taken = first[:count]
        self._wanted -= len(taken)
        return Batch("int64", (taken,))


@dataclass(frozen=True)
class Exported:
    """What a finished export made. size: octets; kind: of its IDs."""

    key: str
    size: int
    sha256: str
    count: int
    kind: str

    def as_result(self) -> dict[str, Any]:
        """For the job's row."""
        return {
            "key": self.key,
            "size": self.size,
            "sha256": self.sha256,
            "done": self.count,
            "kind": self.kind,
        }


def run(
    request: ExportRequest,
    draw: Callable[[int], Batch],
    store: Store,
    key: str,
    keep_on: Callable[[int], bool],
) -> Exported:
    """Draw and store. keep_on(IDs so far) is asked before each chunk and before the file appears.

    Raises StoppedError when it said no, and what `draw` and the store raise; then nothing appears.
    """
    encode = ENCODERS[request.format]
    done, kind = 0, ""
    upload = store.begin(key)
    try:
        while done < request.count:
            if not keep_on(done):
                raise StoppedError
            batch = draw(min(CHUNK, request.count - done))
            kind = kind or batch.kind
            upload.write(encode(batch))
            done += len(batch)
        if not keep_on(done):
            raise StoppedError
        sha256 = upload.publish()
    except BaseException:
        upload.abort()
        raise
    return Exported(key, upload.size, sha256, done, kind)
