"""What lies in quarantine (partner files, rows of files, changes of source tables), and the way back.

A row or file in quarantine is kept as it came, with its reason; nothing is ever repaired in place. Releasing
lands it again through the usual parser, so it is judged by today's declaration, and who and why are recorded in
`ops.file_transfers`. A change of a source table has a place in the order of changes that may be long past, so it
is never put back alone: its table is loaded again.

    python -m include.gate.quarantine list
    python -m include.gate.quarantine show npd.daily_production 3f2a
    python -m include.gate.quarantine release npd.daily_production 3f2a --why "renamed heading declared"
"""

import argparse
import getpass
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from include import catalog, lakehouse
from include.errors import DeclarationError, HnaiError

ROWS_SHOWN = 20


@dataclass(frozen=True)
class Held:
    """Something that waits: a whole file, a row of one, or a change of a source table."""

    of: str  # feed or source table, e.g. npd.daily_production
    batch: str
    what: str  # "whole file", "row 17", "change"
    reason: str
    values: dict  # as it came

    def __str__(self) -> str:
        return f"{self.of}  {self.batch[:12]}  {self.what}: {self.reason}"


def held(of: str | None = None) -> list[Held]:
    """All that waits, or that of one feed or source table; whole files first."""
    _check(of)
    return [*_held_files(of), *_held_changes(of)]


def release(of: str, batch: str, who: str, why: str, rows: list[int] | None = None, vouched: bool = False) -> str:
    """Land a held file, or held rows of one, again; say what became of them. `vouched`: content that landed under
    another meter's name is right for this one too.

    Raises `DeclarationError` for a source table: its changes come back by loading the table anew.
    """
    from include.land.file_release import release as release_file

    _check(of)
    if of in _source_tables():
        raise DeclarationError(
            f"A change of {of} cannot be put back alone: later changes may stand on it. "
            "Correct `drift` in the source's YAML, then load the table again: docs/runbooks/land.md"
        )
    return str(release_file(of, batch, who, why, rows=rows, vouched=vouched))


def _check(of: str | None) -> None:
    known = [feed.full_name for feed in catalog.feeds()] + list(_source_tables())
    if of not in (None, "unclaimed", *known):
        raise DeclarationError(f"Nothing is declared as {of!r}; known: {', '.join(known)}")


def _source_tables() -> dict[str, str]:
    return {f"{s.name}.{t.name}": t.identifier for s in catalog.sources() for t in s.tables}


def _held_files(of: str | None) -> Iterable[Held]:
    from include.land import file_commit, file_inbox

    for entry in file_inbox.quarantined(of):
        values = {name: entry[name] for name in ("file_name", "received_at", "path")}
        yield Held(entry["feed"], entry["sha256"], f"whole file {entry['file_name']}", entry["reason"], values)
    for feed in catalog.feeds():
        if of in (None, feed.full_name):
            for row in file_commit.open_rows(feed):
                what = f"row {row['_row_number']} of {row['_file_name']}"
                yield Held(feed.full_name, row["_batch_id"], what, row["_reason"], json.loads(row["_fields"]))


def _held_changes(of: str | None) -> Iterable[Held]:
    for name, identifier in _source_tables().items():
        if of in (None, name) and lakehouse.exists(f"quarantine.{identifier}"):
            for row in lakehouse.table(f"quarantine.{identifier}").scan().to_arrow().to_pylist():
                what = f"change at {row['_commit_lsn']}, place {row['_seq']}"
                yield Held(name, row["_batch_id"], what, row["reason"], json.loads(row["row"]))


def _list(of: str | None) -> None:
    found = held(of)
    counted: dict[tuple[str, str, str], int] = {}
    for one in found:
        kind = "whole file" if one.what.startswith("whole file") else "rows"
        counted[one.of, one.batch, kind] = counted.get((one.of, one.batch, kind), 0) + 1
    for (name, batch, kind), number in counted.items():
        first = next(one for one in found if (one.of, one.batch) == (name, batch))
        much = kind if kind == "whole file" else f"{number} {kind}"
        print(f"{name}  {batch[:12]}  {much}  first: {first.what}: {first.reason}")
    if not found:
        print("Nothing waits in quarantine.")


def _show(of: str, batch: str) -> None:
    found = [one for one in held(of) if one.batch.startswith(batch)]
    for one in found[:ROWS_SHOWN]:
        print(one)
        print("    " + ", ".join(f"{name}={value}" for name, value in one.values.items()))
    if len(found) > ROWS_SHOWN:
        print(f"…and {len(found) - ROWS_SHOWN} more")
    if not found:
        print(f"Nothing of {of} waits under {batch!r}.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.gate.quarantine", description="See what lies in quarantine and why, and land it again."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("list", help="what waits, by feed or table and batch")
    verb.add_argument("of", nargs="?", help="one feed or source table, e.g. npd.daily_production")
    verb = verbs.add_parser("show", help="the rows of one batch as they came, each with its reason")
    verb.add_argument("of", help="feed or source table, as in list")
    verb.add_argument("batch", help="batch as in list, or its beginning")
    verb = verbs.add_parser("release", help="land a held file or held rows again, by today's declaration")
    verb.add_argument("of", help="feed, as in list")
    verb.add_argument("batch", help="batch as in list, or its beginning")
    verb.add_argument("--rows", type=int, nargs="+", help="only these rows of the file")
    verb.add_argument(
        "--vouched", action="store_true", help="the content is right although it landed under another name"
    )
    verb.add_argument("--why", required=True, help="the reason, kept in ops.file_transfers")
    verb.add_argument("--who", default=getpass.getuser(), help="who releases (default: the user of this shell)")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "list":
            _list(given.of)
        elif given.verb == "show":
            _show(given.of, given.batch)
        else:
            print(release(given.of, given.batch, given.who, given.why, given.rows, given.vouched))
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
