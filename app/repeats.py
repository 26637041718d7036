"""Which changes of a tag could make it issue an ID twice. Pure.

Segments live below 2**56 and snowflakes above, and a segment's position outlives any change of its tag, so
going from one to the other and back repeats nothing. Two things could: the layout of snowflakes, since the
same number means another moment in the other layout; and plugins, of whose numbers nothing is known here.
That a snowflake was issued leaves no trace in the database, and etcd may have configured a tag that was
never enabled here; so every tag is taken as used.
"""

from collections.abc import Collection

from app.tag_config import TagConfig

BUILT_IN = ("segment", "snowflake", "uuid7", "uuid4")


def could_repeat(before: TagConfig, after: TagConfig, built_in: Collection[str] = BUILT_IN) -> str | None:
    """Why the change could repeat IDs, or None."""
    if before.sequence_bits != after.sequence_bits:
        return (
            f"sequence_bits: {after.sequence_bits} is not allowed; allowed: {before.sequence_bits}, since "
            "IDs of that layout may exist"
        )
    if before.algorithm != after.algorithm:
        if before.algorithm not in built_in:
            return (
                f"algorithm: {after.algorithm!r} is not allowed; allowed: {before.algorithm!r}, since "
                "nothing is known of the IDs that this plugin issued"
            )
        if after.algorithm not in built_in:
            return (
                f"algorithm: {after.algorithm!r} is not allowed; allowed: {', '.join(built_in)}, since a "
                "plugin may issue what this tag has issued"
            )
    return None
