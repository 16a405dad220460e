"""Accept a failing expectation for one close: who, why and until when, kept for ever in `ops.acceptances`.

An acceptance names its closes and expectations; it never changes a rule. It counts for a gate that runs before
it expires, for the failing rows of its own period alone. Of several for one close and pattern the
latest counts, so one is prolonged by accepting again and taken back by `withdraw`.

    python -m include.gate.accept --help
"""

import argparse
import getpass
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from include.catalog import calendar
from include.errors import DeclarationError, HnaiError
from include.gate.report import Result
from include.gate.suites import gated_tables
from include.periods import between, names

ACCEPTED_FOR = timedelta(hours=24)  # unless said otherwise: long enough to clear the gate, too short to be forgotten


@dataclass(frozen=True)
class Acceptance:
    close_key: str  # "2026-11-23@permian"
    pattern: str  # table.expectation[.column], with * and ?
    who: str
    why: str
    until: datetime

    def covers(self, result: Result) -> bool:
        """Whether the result is one of those accepted. `table.expectation` covers all columns of the table."""
        return fnmatchcase(result.pattern, self.pattern) or result.pattern.startswith(f"{self.pattern}.")


def accept(
    close_keys: Sequence[str], pattern: str, who: str, why: str, until: datetime | str | None = None
) -> list[Acceptance]:
    """Accept what `pattern` names for each of the closes, and record it.

    Raises `DeclarationError` where somebody or a reason is missing, the pattern names no table that has a
    suite, or `until` is over already.
    """
    from include.ops.store import record

    now = datetime.now(UTC)
    last = _instant(until) if until else now + ACCEPTED_FOR
    if not who.strip() or not why.strip():
        raise DeclarationError("An acceptance needs who accepts and why: a reader of the close asks for both")
    if last <= now:
        raise DeclarationError(
            f"until {last.isoformat()} is over already. Give a time to come, or leave it away for 24 hours"
        )
    if not close_keys:
        raise DeclarationError("No close is named. Give the production dates or shifts, and the calendar")
    pack = _pack(close_keys)
    _check_pattern(pack, pattern)
    found = [Acceptance(key, pattern, who.strip(), why.strip(), last) for key in close_keys]
    record("acceptances", [{"pack": pack, **vars(one)} for one in found])
    return found


def withdraw(close_keys: Sequence[str], pattern: str, who: str, why: str) -> None:
    """Take back an acceptance: from now on the gate fails again."""
    from include.ops.store import record

    now, pack = datetime.now(UTC), _pack(close_keys)
    rows = [{"close_key": k, "pattern": pattern, "who": who, "why": why, "until": now} for k in close_keys]
    record("acceptances", [{"pack": pack, **row} for row in rows])


def acceptances(close_keys: Iterable[str], now: datetime) -> list[Acceptance]:
    """Those of the closes that have not expired."""
    from include.ops.store import read

    keys = list(close_keys)
    latest = {
        (row["close_key"], row["pattern"]): Acceptance(
            row["close_key"], row["pattern"], row["who"], row["why"], row["until"]
        )
        for row in read("acceptances", pack=_pack(keys))  # oldest first
    }
    wanted = set(keys)
    return [one for one in latest.values() if one.close_key in wanted and one.until > now]


def apply(
    result: Result, periods: frozenset[str] | None, close_keys: dict[str, str], valid: list[Acceptance]
) -> Result:
    """The result, marked as accepted where every period that it concerns is covered.

    `periods` are the names of those of the failing rows; None (a sum, a row count) concerns all periods of the run.
    """
    if result.success:
        return result
    concerned = periods if periods and periods <= close_keys.keys() else close_keys.keys()
    covering = {one.close_key: one for one in valid if one.covers(result)}
    if not all(close_keys[name] in covering for name in concerned):
        return result
    used = [covering[close_keys[name]] for name in sorted(concerned)]
    return replace(
        result,
        accepted_by=", ".join(dict.fromkeys(one.who for one in used)),
        accepted_why="; ".join(dict.fromkeys(one.why for one in used)),
    )


def _pack(close_keys: Sequence[str]) -> str:
    packs = {calendar(key.partition("@")[2]).pack for key in close_keys}
    if len(packs) != 1:
        raise DeclarationError(f"Closes of several packs cannot be accepted together: {sorted(packs)}")
    return packs.pop()


def _check_pattern(pack: str, pattern: str) -> None:
    table, dot, _ = pattern.partition(".")
    if not dot or not any(fnmatchcase(known, table) for known in gated_tables(pack)):
        raise DeclarationError(
            f"{pattern!r} names no expectation. Write table.expectation[.column] as in the gate's message, "
            f"or table.*; tables with a suite: {', '.join(gated_tables(pack))}"
        )


def _instant(value: datetime | str) -> datetime:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if found.tzinfo is None:
        raise DeclarationError(f"until {value} has no zone. Write it as 2026-11-24T18:00+00:00 or with Z")
    return found.astimezone(UTC)


def close_keys_of(first: str, last: str | None, calendar_name: str) -> list[str]:
    """The close keys of a period, or of a range of periods."""
    periods = between(calendar(calendar_name).periods, first, last or first)
    return [f"{name}@{calendar_name}" for name in names(periods)]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.gate.accept",
        description="Accept a failing expectation for one close, list what is accepted, or take it back.",
        epilog="Then clear the gate task of the close. A rule that is wrong for good is changed in expectations/.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("add", "accept for one close or a range of closes"),
        ("withdraw", "take an acceptance back"),
        ("list", "show what is accepted now"),
    ):
        one = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        one.add_argument("--calendar", required=True, help="calendar of the close, e.g. permian")
        one.add_argument(
            "--from",
            dest="first",
            required=True,
            metavar="DAY",
            help="production date or shift (2026-11-23.3), or the first of a range",
        )
        one.add_argument("--to", dest="last", metavar="DAY", help="the last one of a range")
        if verb != "list":
            one.add_argument(
                "--pattern",
                required=True,
                help="table.expectation[.column], as in the message; * and ? are wild",
            )
            one.add_argument("--why", required=True, help="the reason, kept with the close")
            one.add_argument("--who", default=getpass.getuser(), help="who accepts (default: the user of this shell)")
        if verb == "add":
            one.add_argument("--until", help="when it expires, e.g. 2026-11-24T18:00Z (default: in 24 hours)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = _arguments().parse_args(arguments)
    try:
        keys = close_keys_of(given.first, given.last, given.calendar)
        if given.verb == "add":
            added = accept(keys, given.pattern, given.who, given.why, given.until)
            until = f"{added[0].until:%Y-%m-%d %H:%M} UTC"
            print(f"Accepted {given.pattern} for {len(added)} close(s) until {until}. Now clear the gate.")
        elif given.verb == "withdraw":
            withdraw(keys, given.pattern, given.who, given.why)
            print(f"{given.pattern} is not accepted any more for {len(keys)} close(s).")
        else:
            for one in acceptances(keys, datetime.now(UTC)):
                print(f"{one.close_key}  {one.pattern}  until {one.until:%Y-%m-%d %H:%M} UTC  {one.who}: {one.why}")
    except (HnaiError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
