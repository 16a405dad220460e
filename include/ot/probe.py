"""One tag, asked now: what the dictionary says, what its source says, and in plain words what is wrong.

    python -m include.ot.probe MES-01.tubing_head_pressure

It connects by itself, beside a running bridge, and only reads. It ends with 0 when the tag is well, 1 when something
is wrong with it or its source, 2 when the dictionary does not know it.
"""

import asyncio
import importlib
import logging
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from include.errors import HnaiError
from include.ot import tags as dictionary
from include.ot.reading import Sample, is_bad, is_good
from include.ot.sources import Source, source
from include.ot.tags import Tag
from include.ot.trust import Pki, command
from include.settings import settings

READERS = {  # kinds that can be asked for one value
    "opcua": "include.ot.opcua",
    "modbus": "include.ot.modbus",
    "mtconnect": "include.ot.mtconnect",
    "shdr_files": "include.ot.shdr_files",
}
AHEAD_S = 5.0  # a source's clock may be ahead of ours by that much before it is worth a word
WELL, WRONG, UNKNOWN = 0, 1, 2


@dataclass
class Report:
    """Lines to print, and what is wrong."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    status: int = WELL

    def say(self, name: str, text: object) -> None:
        self.lines.append((name, str(text)))

    def blame(self, text: str, status: int = WRONG) -> None:
        self.wrong.append(text)
        self.status = status

    def __str__(self) -> str:
        told = [f"{name:<13}{text}" for name, text in self.lines]
        return "\n".join([*told, *(f"WRONG        {text}" for text in self.wrong), *([] if self.wrong else ["well"])])


async def probe(tag_id: str, tags: Sequence[Tag], of: Source | None = None, store: Pki | None = None) -> Report:
    """Look at one tag of a dictionary; `of` is its source where that is not declared."""
    report = Report()
    report.say("tag", tag_id)
    tag = next((t for t in tags if t.tag_id == tag_id), None)
    if tag is None:
        report.blame(_unknown(tag_id, tags), UNKNOWN)
        return report
    _say_dictionary(report, tag)
    try:
        asked = of or source(tag.source)
        report.say("source", f"{asked.name} ({asked.kind}) {asked.url}")
        if asked.kind not in READERS:
            report.blame(f"A source of kind {asked.kind} sends by itself and cannot be asked; see the latest readings")
        elif asked.kind == "opcua":
            await _ask_opcua(report, asked, tag, store)
        else:
            reader = importlib.import_module(READERS[asked.kind])
            (sample,) = await reader.read_once(asked, [tag])
            _say_sample(report, tag, sample)
    except HnaiError as error:
        report.blame(str(error))
    return report


def _unknown(tag_id: str, tags: Sequence[Tag]) -> str:
    by_lower = {t.tag_id.lower(): t.tag_id for t in tags}
    near = [by_lower[n] for n in get_close_matches(tag_id.lower(), by_lower, n=5, cutoff=0.5)]
    near = near or [t for t in by_lower.values() if tag_id.lower() in t.lower()][:5]
    hint = f"Near: {', '.join(near)}" if near else "See dbt/seeds/<pack>/<pack>_tags.csv"
    return f"The dictionary has no tag {tag_id!r} ({len(tags)} tags). {hint}"


def _say_dictionary(report: Report, tag: Tag) -> None:
    low, high = tag.range_low, tag.range_high
    span = f"{'…' if low is None else f'{low:g}'} to {'…' if high is None else f'{high:g}'}"
    report.say("path", tag.path)
    report.say("dictionary", f"{tag.data_type} in {tag.unit}, range {span}, {_deadband(tag)}, owner {tag.owner or '-'}")
    if tag.description:
        report.say("meaning", tag.description)


def _deadband(tag: Tag) -> str:
    every = f"every {tag.sampling_ms} ms" if tag.sampling_ms else "sampled as its source says"
    return f"deadband {tag.deadband:g} {tag.deadband_type}, {every}" if tag.deadband is not None else every


def _say_sample(report: Report, tag: Tag, sample: Sample) -> None:
    from include.ot.opcua_values import quality_name

    unit = "" if tag.unit == "1" else f" {tag.unit}"
    report.say("value", f"{sample.value}{unit}" if sample.value is not None else "none")
    report.say("quality", quality_name(sample.quality))
    if sample.observed_at is None:
        report.say("source time", "none: the mirror takes the server's or its own, and flags it")
    else:
        report.say("source time", _moment(sample.observed_at, sample.received_at))
        ahead_s = (sample.observed_at - sample.received_at).total_seconds()
        if ahead_s > AHEAD_S:
            report.blame(f"The source's clock is {ahead_s:.0f} s ahead of this host's: set one of them by NTP")
    if sample.served_at is not None:
        report.say("server time", _moment(sample.served_at, sample.received_at))
    if is_bad(sample.quality):
        report.blame(
            f"The source itself says {quality_name(sample.quality)}: no value to use. Ask the instrument's owner"
        )
    elif not is_good(sample.quality):
        report.blame(f"The source is uncertain of its value: {quality_name(sample.quality)}")
    if isinstance(sample.value, int | float) and not isinstance(sample.value, bool):
        _say_range(report, tag, sample.value)
    elif sample.value is not None and tag.data_type in ("double", "long") and not isinstance(sample.value, bool):
        report.blame(f"The dictionary promises a {tag.data_type}; the source gives {type(sample.value).__name__}")


def _say_range(report: Report, tag: Tag, value: float) -> None:
    low, high = tag.range_low, tag.range_high
    if low is None and high is None:
        return
    if (low is None or value >= low) and (high is None or value <= high):
        report.say("range", "inside")
    else:
        report.say("range", "OUTSIDE")
        report.blame(f"{value:g} is outside {low} to {high}: a wrong unit, a wrong range, or a wrong instrument")


def _moment(at: datetime, now: datetime) -> str:
    lag_s = (now - at).total_seconds()
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC, {abs(lag_s):.3f} s {'ago' if lag_s >= 0 else 'AHEAD'}"


async def _ask_opcua(report: Report, asked: Source, tag: Tag, store: Pki | None) -> None:
    """As the bridge connects: security, user, certificate, namespace, node; then the value."""
    from asyncua import ua

    from include.ot import opcua_nodes
    from include.ot.opcua_nodes import BadAddress
    from include.ot.opcua_session import connect, options_of
    from include.ot.opcua_values import sample_of

    options = options_of(asked)
    security = f"{options.security} {options.mode}" if options.is_secure else "none"
    session = await connect(asked, store)
    try:
        report.say("security", f"{security}, user {options.user or 'anonymous'}: let in")
        if session.server_certificate:
            report.say("certificate", f"trusted: {session.server_certificate}")
        if session.own.warning:
            report.blame(session.own.warning)
        try:
            node_id = opcua_nodes.resolve(tag.address, await opcua_nodes.namespaces(session))
        except BadAddress as error:
            report.blame(str(error))
            return
        report.say("node", f"{tag.address} = {node_id.to_string()} on this server now")
        limit = await opcua_nodes.limits(session)
        attributes = (ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel)
        value, data_type, access = await opcua_nodes.read(session, [(node_id, a) for a in attributes], limit.read)
        sample, problem = sample_of(tag.tag_id, value, datetime.now(UTC))
        if data_type.StatusCode.is_bad():
            status = data_type.StatusCode
            report.blame(
                f"The node is not there ({status.name}). It vanished, or the address has a slip. Look for it: "
                f"{command('browse', asked.name)}"
            )
            return
        (node,) = await opcua_nodes.properties(session, [node_id], limit)
        _say_node(report, tag, node, opcua_nodes.value_of(access))
        _say_sample(report, tag, sample)
        if problem:
            report.blame(problem)
    finally:
        await session.close()


def _say_node(report: Report, tag: Tag, node: Any, access: Any) -> None:
    from asyncua import ua

    from include.ot.opcua_units import unit_name

    said = []
    unit = unit_name(node.units)
    if unit:
        said.append(f"unit {unit}")
        if unit != tag.unit:
            report.blame(f"The server gives {unit} as the unit, the dictionary {tag.unit}")
    if node.eu_range:
        said.append(f"range {node.eu_range[0]:g} to {node.eu_range[1]:g}")
    keeps = isinstance(access, int) and access >> ua.AccessLevel.HistoryRead & 1
    said.append("keeps history" if keeps else "keeps no history: what a gap misses stays missing")
    if tag.deadband_type == "percent" and not node.eu_range:
        said.append("no EURange: the percent deadband is of the dictionary's range")
    report.say("server says", ", ".join(said))


def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m include.ot.probe", description="Ask the source of one tag, now.")
    parser.add_argument("tag", help="tag id of the dictionary")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        report = asyncio.run(probe(args.tag, dictionary.tags()))
    except HnaiError as error:
        print(error, file=sys.stderr)
        return WRONG
    print(report)
    if report.status == WRONG:
        print(f"State of its bridge, if it runs here: {settings.ot_dir}/SOURCE/health.json")
    return report.status


if __name__ == "__main__":
    raise SystemExit(main())
