"""The close report as one HTML page: no script, no font, no picture from elsewhere; charts are inline SVG."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup, escape

RESTATEMENTS_SHOWN = 200
SAMPLES_SHOWN = 5
CHART_WIDTH, CHART_HEIGHT = 320, 96


def page(said: dict[str, Any]) -> str:
    """The HTML of what `include.publish.report_data.collect` found."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "exact": exact,
        "rounded": rounded,
        "signed": signed,
        "figure": figure,
        "judged": judged,
        "percent": percent,
        "instant": lambda at: f"{at:%Y-%m-%d %H:%M} UTC",
        "keys": keys,
        "samples": samples,
    }
    return environment.get_template("report.html.j2").render(
        r=said, chart=chart, RESTATEMENTS_SHOWN=RESTATEMENTS_SHOWN, versions=_versions(said["versions"])
    )


def exact(value: Any) -> str:
    """Every digit that matters, with thousands separators; an en dash for nothing."""
    if value is None:
        return "–"
    if not isinstance(value, Decimal):
        return f"{value:,}"
    text = f"{value:,f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def rounded(value: Any, places: int = 1) -> str:
    return "–" if value is None else f"{round(value, places):,.{places}f}".replace("-", "−")


def signed(value: Any, places: int = 1) -> str:
    return "–" if value is None else f"{round(value, places):+,.{places}f}".replace("-", "−")


def figure(text: str | None) -> str:
    """A restated value as people read it: a number without idle zeros, any other text as it is."""
    if text is None:
        return "–"
    try:
        return exact(Decimal(text))
    except InvalidOperation:
        return text


def judged(now: Any, before: Any, better: str | None) -> str:
    """The colour of a move: whether it is the way that one hopes for."""
    if now == before or better is None:
        return "soft"
    return "up" if (now > before) == (better == "more") else "down"


def percent(now: Any, before: Any) -> str:
    """The change in percent of what was before; nothing where there was nothing."""
    if now is None or before is None or before == 0:
        return ""
    return f"{(now - before) / abs(before) * 100:+.1f} %".replace("-", "−")


def keys(text: str | None) -> str:
    """A JSON row key as people read it: `well_id A-1 · production_date 2026-11-05`."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return text or ""
    return " · ".join(f"{k} {v}" for k, v in found.items()) if isinstance(found, dict) else str(found)


def samples(text: str | None) -> list[str]:
    """Some keys of failing rows, one text each."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return [text or ""]
    rows = found if isinstance(found, list) else [found]
    said = [" · ".join(f"{k} {v}" for k, v in r.items()) if isinstance(r, dict) else str(r) for r in rows]
    return said[:SAMPLES_SHOWN]


def chart(series: Sequence[dict[str, Any]], label: str, unit: str, mean: Decimal | None) -> Markup:
    """Bars over time: closed days stand out, dashed is the trailing mean, a day without a figure is a gap."""
    values = [float(p["value"]) for p in series if p["value"] is not None]
    if not values:
        return Markup('<p class="none">no published day</p>')
    top, bottom = max([*values, 0.0]), min([*values, 0.0])
    span = (top - bottom) or 1.0

    def y(value: float) -> float:
        return 4 + (top - value) / span * (CHART_HEIGHT - 8)

    step = CHART_WIDTH / len(series)
    bars = []
    for n, point in enumerate(series):
        if point["value"] is None:
            continue
        value = float(point["value"])
        high, low = min(y(value), y(0)), max(y(value), y(0))
        kind = "closed" if point["is_closed"] else "earlier"
        title = escape(f"{point['date']}: {exact(point['value'])} {unit}")
        bars.append(
            f'<rect class="{kind}" x="{n * step + step * 0.12:.1f}" y="{high:.1f}" width="{step * 0.76:.1f}" '
            f'height="{max(low - high, 0.8):.1f}"><title>{title}</title></rect>'
        )
    line = ""
    if mean is not None and bottom <= float(mean) <= top:
        line = f'<line class="mean" x1="0" x2="{CHART_WIDTH}" y1="{y(float(mean)):.1f}" y2="{y(float(mean)):.1f}"/>'
    said = escape(f"{label} in {unit}, {_day(series[0]['date'])} to {_day(series[-1]['date'])}, at most {top:,.1f}")
    return Markup(
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{said}">'
        f'<line class="zero" x1="0" x2="{CHART_WIDTH}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>{"".join(bars)}{line}</svg>'
    )


def _day(value: date) -> str:
    return value.isoformat()


def _versions(found: dict[str, int]) -> str:
    numbers = sorted(set(found.values()))
    return f"version {numbers[0]}" if len(numbers) == 1 else f"versions {numbers[0]} to {numbers[-1]}"
