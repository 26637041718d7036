"""Move an existing database of an ID service into this service's, so that no ID is issued again.

Source: sqlite:///FILE or postgresql://..., with this service's tables under their own or usual other names,
or with Leaf's single table leaf_alloc. What becomes what: app/move/mapping.py. Target: a Postgres at this
version's schema. Stop everything that issues IDs from the source before, and start this service after.

An address with a password comes from a variable: --from-env NAME, --to-env NAME. Rows that are in the target
are left as they are, except those of a new installation that nobody changed; --replace overwrites others.
Segments never move back. Killed or failed, it goes on when started again; a second run copies nothing.

Exit codes: 0 all of the source is in the target, 1 a database refused or didn't answer, 2 bad input (nothing
was written), 3 rows of the target differ from the source's.
Example: `OLD=postgresql://... NEW=postgresql://... python -m app.move --from-env OLD --to-env NEW`
"""

import argparse
import json
import os
import sys

from sqlalchemy.exc import SQLAlchemyError

from app.move import address, moving, source, target
from app.move.mapping import BadSourceError

DONE, DATABASE, BAD_INPUT, DIFFERS = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """See the module's text."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.batch < 1:
            raise BadSourceError(f"--batch: {chosen.batch} is not allowed; allowed: 1 or more")
        reading = source.open_source(address.chosen("--from", chosen.source, chosen.from_env, os.environ))
        writing = target.open_target(address.chosen("--to", chosen.target, chosen.to_env, os.environ))
        try:
            moved = moving.move(
                reading, writing, source.Places(chosen.workspace, chosen.group), dry_run=chosen.dry_run,
                replace=chosen.replace, batch=chosen.batch, progress=_progress,
            )  # fmt: skip
        finally:
            reading.dispose()
            writing.dispose()
    except (address.BadAddressError, BadSourceError, target.BadTargetError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except SQLAlchemyError as error:
        print(f"a database did not do it: {str(getattr(error, 'orig', error)).strip()}", file=sys.stderr)
        return DATABASE
    print(json.dumps(_report(moved, chosen.dry_run)) if chosen.json else _text(moved, chosen.dry_run))
    return DONE if chosen.dry_run or all(one.equal for one in moved) else DIFFERS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.move", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="source", metavar="URL")
    parser.add_argument("--from-env", metavar="NAME", help="the variable that holds the source's URL")
    parser.add_argument("--to", dest="target", metavar="URL")
    parser.add_argument("--to-env", metavar="NAME", help="the variable that holds the target's URL")
    parser.add_argument("--workspace", default="default", help="for a source without workspaces")
    parser.add_argument("--group", default="default", help="for a source without groups")
    parser.add_argument("--batch", type=int, default=moving.BATCH, metavar="ROWS", help="rows a transaction")
    parser.add_argument("--replace", action="store_true", help="overwrite rows that differ")
    parser.add_argument("--dry-run", action="store_true", help="read and compare, write nothing")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    return parser


def _progress(table: str, done: int, rows: int) -> None:
    print(f"{table}: {done} of {rows}", file=sys.stderr, flush=True)


def _report(moved: list[moving.Moved], dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "copied": sum(one.copied for one in moved),
        "equal": all(one.equal for one in moved),
        "tables": [one.as_json() for one in moved],
    }


def _text(moved: list[moving.Moved], dry_run: bool) -> str:
    lines = [f"{'table':<13}{'source':>9}{'copied':>9}{'replaced':>9}{'present':>9}{'target':>9}  sha256"]
    for one in moved:
        numbers = (one.source, one.copied, one.replaced, one.present, one.target)
        sums = one.checksum_source[:16] + (" =" if one.equal else f" is not {one.checksum_target[:16]}")
        lines.append(f"{one.table:<13}" + "".join(f"{number:>9}" for number in numbers) + f"  {sums}")
        lines += [f"  differs: {key}" for key in one.differing]
    if dry_run:
        lines.append("dry run: nothing was written; 'copied' and 'replaced' say what would be")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
