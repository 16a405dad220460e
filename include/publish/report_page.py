"""The close report as one HTML page: no script, no font, no picture from elsewhere; charts are inline SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from include.periods import Period
from include.publish import report_text as text
from include.publish.report_charts import trend

RESTATEMENTS_SHOWN = 200
PERIODS_SHOWN = 7
WORDS = {"daily": ("day", "days"), "shift": ("shift", "shifts")}


def page(said: dict[str, Any]) -> str:
    """The HTML of what `include.publish.report_data.collect` found."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (text.exact, text.rounded, text.signed, text.figure, text.judged, text.percent, text.keys, text.samples)
    environment.filters |= {f.__name__: f for f in (*filters, text.instant)}
    one, many = WORDS[said["grain"]]
    return environment.get_template("report.html.j2").render(
        r=said,
        one=one,
        many=many,
        is_one=said["first"] == said["last"],
        clocks=_clocks(said["periods"], said["zone"]),
        chart=trend,
        RESTATEMENTS_SHOWN=RESTATEMENTS_SHOWN,
        versions=_versions(said["versions"]),
    )


def _clocks(periods: Sequence[Mapping[str, Any]], zone: str) -> list[str]:
    """When each period ran, by the clock of the site; of many the first and the last."""
    found = []
    for period in map(Period.of_json, periods):
        parts = " and ".join(f"{text.local(start, zone)} to {text.local(end, zone)}" for start, end in period.parts)
        breaks = ", ".join(
            f"{name} {text.local(start, zone, '%H:%M')}–{text.local(end, zone, '%H:%M')}"
            for start, end, name in period.breaks
        )
        label = f" {period.label}" if period.label else ""
        found.append(f"{period.name}{label}: {parts}{f' ({breaks})' if breaks else ''}")
    return found if len(found) <= PERIODS_SHOWN else [found[0], f"… {len(found) - 2} more …", found[-1]]


def _versions(found: dict[str, int]) -> str:
    numbers = sorted(set(found.values()))
    return f"version {numbers[0]}" if len(numbers) == 1 else f"versions {numbers[0]} to {numbers[-1]}"
