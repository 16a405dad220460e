"""Small charts and tables of the close report: SVG and HTML without script; every text in them is escaped.

Colour never says anything alone: a mark has a title, a letter or a height of its own, or a figure beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from markupsafe import Markup

from include.publish.report_text import exact, local, rounded

TREND_WIDTH, TREND_HEIGHT = 320, 96
LANE_WIDTH, LANE_LEFT, LANE_RIGHT, LANE_HEIGHT, LANE_STEP = 1000, 96, 980, 22, 30
PARETO_WIDTH, PARETO_HEIGHT, PARETO_LEFT, PARETO_FOOT = 640, 220, 44, 22
NARROWEST_WITH_A_LETTER = 13
MOST_HOURS_MARKED = 12
EMPTY = Markup('<p class="none">{}</p>')
Tone = Literal["good", "bad", "warn", "set", "idle", "off", "none", "odd"]  # the classes tone-… of the page


@dataclass(frozen=True)
class Kind:
    """A kind of stretch or loss: what it is called, and how it looks in colour and without."""

    label: str
    letter: str
    tone: Tone
    height: float = 1.0  # share of a lane


@dataclass(frozen=True)
class Stretch:
    starts_at: datetime
    ends_at: datetime
    kind: str
    said: str = ""  # what its title adds


@dataclass(frozen=True)
class Step:
    """A bar of a waterfall: a level stands on the ground, any other takes from the level before it."""

    label: str
    value: Decimal | None
    tone: Tone
    is_level: bool = False


@dataclass(frozen=True)
class Bar:
    label: str
    value: Decimal
    before: Decimal | None = None  # what it usually is


@dataclass(frozen=True)
class Column:
    """A column of a table. Numbers stand to the right."""

    label: str
    is_number: bool = False


def trend(series: Sequence[Mapping[str, Any]], label: str, unit: str, mean: Decimal | None) -> Markup:
    """Bars over time: closed periods stand out, dashed is the trailing mean, a period without a figure is a gap."""
    values = [float(p["value"]) for p in series if p["value"] is not None]
    if not values:
        return EMPTY.format("nothing published")
    top, bottom = max([*values, 0.0]), min([*values, 0.0])
    span = (top - bottom) or 1.0

    def y(value: float) -> float:
        return 4 + (top - value) / span * (TREND_HEIGHT - 8)

    step = TREND_WIDTH / len(series)
    marks = []
    for n, point in enumerate(series):
        if point["value"] is None:
            continue
        value = float(point["value"])
        high, low = min(y(value), y(0)), max(y(value), y(0))
        marks.append(
            _rect(
                "closed" if point["is_closed"] else "earlier",
                n * step + step * 0.12,
                high,
                step * 0.76,
                max(low - high, 0.8),
                f"{point['period']}: {exact(point['value'])} {unit}",
            )
        )
    if mean is not None and bottom <= float(mean) <= top:
        marks.append(_line("mean", 0, y(float(mean)), TREND_WIDTH, y(float(mean))))
    said = f"{label} in {unit}, {series[0]['period']} to {series[-1]['period']}, at most {top:,.1f}"
    return _svg(TREND_WIDTH, TREND_HEIGHT, said, [_line("zero", 0, y(0), TREND_WIDTH, y(0)), *marks], stretch=True)


def waterfall(steps: Sequence[Step], unit: str) -> Markup:
    """One row a step: its name, its bar, its figure, and its share of the first one. A negative loss is a gain."""
    first = next((s.value for s in steps if s.value), None)
    if first is None:
        return EMPTY.format("nothing to show")
    edges, at = [], Decimal(0)
    for step in steps:
        value = step.value or Decimal(0)
        start, at = (Decimal(0), value) if step.is_level else (at, at - value)
        edges.append((min(start, at), max(start, at)))
    low, top = min(e[0] for e in edges), max(e[1] for e in edges)
    scale = 100 / float(top - low)
    rows = []
    for step, (left, right) in zip(steps, edges, strict=True):
        bar = _rect(f"tone-{step.tone}", float(left - low) * scale, 1, max(float(right - left) * scale, 0.3), 8, "")
        share = "" if step.value is None else f"{rounded(100 * step.value / first)} %"
        sign = "" if step.is_level or not step.value else "−" if step.value > 0 else "+"
        figure = "–" if step.value is None else f"{sign}{rounded(abs(step.value), 2)}"
        name = Markup("<strong>{}</strong>").format(step.label) if step.is_level else step.label
        said = f"{step.label}: {figure} {unit}"
        rows.append((name, _svg(100, 10, said, [bar] if step.value else [], stretch=True), figure, share))
    head = (Column(""), Column(""), Column(unit, True), Column("share", True))
    return table(head, rows, "waterfall")


def timeline(
    lanes: Sequence[tuple[str, Sequence[Stretch]]],
    kinds: Mapping[str, Kind],
    span: tuple[datetime, datetime],
    zone: str,
    label: str,
) -> Markup:
    """A lane for each name from the start of the span to its end, by the clock of the site, with its legend."""
    start, end = span
    seconds = (end - start).total_seconds()
    if not lanes or seconds <= 0:
        return EMPTY.format("nothing to show")

    def x(at: datetime) -> float:
        share = (at - start).total_seconds() / seconds
        return LANE_LEFT + min(max(share, 0.0), 1.0) * (LANE_RIGHT - LANE_LEFT)

    bottom = len(lanes) * LANE_STEP
    marks = []
    for at in _hours(start, end):
        marks.append(_line("tick", x(at), 0, x(at), bottom + 4))
        marks.append(_text("tick", x(at), bottom + 17, local(at, zone, "%H:%M"), "middle"))
    for n, (name, stretches) in enumerate(lanes):
        foot = n * LANE_STEP + 4 + LANE_HEIGHT
        marks.append(_text("lane", 0, foot - 6, name))
        marks.append(_line("zero", LANE_LEFT, foot, LANE_RIGHT, foot))
        if not stretches:
            marks.append(_text("lane soft", LANE_LEFT + 6, foot - 6, "nothing is known of it"))
        for one in stretches:
            kind = kinds[one.kind]
            left, width = x(one.starts_at), max(x(one.ends_at) - x(one.starts_at), 0.6)
            height = LANE_HEIGHT * kind.height
            clock = f"{local(one.starts_at, zone, '%H:%M:%S')}–{local(one.ends_at, zone, '%H:%M:%S')}"
            title = f"{name} {clock} {kind.label}{', ' + one.said if one.said else ''}"
            marks.append(_rect(f"tone-{kind.tone}", left, foot - height, width, height, title))
            if kind.letter and width >= NARROWEST_WITH_A_LETTER:
                marks.append(_text("letter", left + width / 2, foot - 5, kind.letter, "middle"))
    drawn = _svg(LANE_WIDTH, bottom + 22, label, marks)
    return Markup('{}<div class="scroll wide">{}</div>').format(legend(kinds), drawn)


def legend(kinds: Mapping[str, Kind]) -> Markup:
    """What the tones, heights and letters of a timeline mean."""
    entries = []
    for kind in kinds.values():
        height = 14 * kind.height
        marks = [_rect(f"tone-{kind.tone}", 1, 15 - height, 18, height, "")]
        if kind.letter:
            marks.append(_text("letter", 10, 12.5, kind.letter, "middle"))
        swatch = _svg(20, 16, "", marks)
        entries.append(Markup("<li>{} {}</li>").format(swatch, kind.label))
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def pareto(bars: Sequence[Bar], total: Decimal, unit: str, label: str) -> Markup:
    """Bars from the largest on, numbered; the line is their cumulative share of `total`, a dash what is usual."""
    shown = [bar for bar in bars if bar.value > 0]
    if not shown or total <= 0:
        return EMPTY.format("nothing to show")
    top = float(max(*(b.value for b in shown), *(b.before or Decimal(0) for b in shown), Decimal(0)))
    right, ground = PARETO_WIDTH - PARETO_LEFT, PARETO_HEIGHT - PARETO_FOOT
    step = (right - PARETO_LEFT) / len(shown)

    def y(value: float) -> float:
        return ground - value / top * (ground - 14)

    marks = [_line("zero", PARETO_LEFT, ground, right, ground)]
    for n in range(5):
        at = y(top * n / 4)
        marks.append(_line("tick", PARETO_LEFT, at, right, at))
        value = rounded(top * n / 4, 1 if top >= 1 else 2)
        marks.append(_text("tick", PARETO_LEFT - 6, at + 4, f"{value} {unit}" if n == 4 else value, "end"))
        marks.append(_text("tick", right + 6, at + 4, f"{25 * n} %"))
    points, running = [], Decimal(0)
    for n, bar in enumerate(shown):
        left, width = PARETO_LEFT + n * step + step * 0.14, min(step * 0.72, 64)
        middle = left + width / 2
        running += bar.value
        share = float(running / total)
        usual = "" if bar.before is None else f", usually {rounded(bar.before, 2)} {unit}"
        title = f"{n + 1}. {bar.label}: {rounded(bar.value, 2)} {unit}{usual}, cumulative {share:.0%}"
        marks.append(_rect("closed", left, y(float(bar.value)), width, ground - y(float(bar.value)), title))
        if bar.before is not None:
            marks.append(_line("usual", left - 3, y(float(bar.before)), left + width + 3, y(float(bar.before))))
        marks.append(_text("tick", middle, ground + 15, str(n + 1), "middle"))
        points.append((middle, y(top * share)))
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    marks.append(Markup('<polyline class="cumulative" points="{}"/>').format(line))
    marks += [Markup('<circle class="cumulative" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(px, py) for px, py in points]
    return Markup('<div class="scroll pareto">{}</div>').format(_svg(PARETO_WIDTH, PARETO_HEIGHT, label, marks))


def table(head: Sequence[Column], rows: Iterable[Sequence[Any]], kind: str = "") -> Markup:
    """A table of texts and of Markup made elsewhere; None is an en dash."""
    titles = [Markup("<th{}>{}</th>").format(_aligned(column), column.label) for column in head]
    lines = [Markup("<tr>{}</tr>").format(Markup("").join(titles))]
    for row in rows:
        cells = [
            Markup("<td{}>{}</td>").format(_aligned(column), "–" if cell is None else cell)
            for column, cell in zip(head, row, strict=True)
        ]
        lines.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    of_kind = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<div class="scroll"><table{}>\n{}\n</table></div>').format(of_kind, Markup("\n").join(lines))


def badge(text: str, outcome: str = "warning") -> Markup:
    return Markup('<span class="badge {}">{}</span>').format(outcome, text)


def _aligned(column: Column) -> Markup:
    return Markup(' class="n"') if column.is_number else Markup("")


def _hours(start: datetime, end: datetime) -> list[datetime]:
    """The full hours of the span, or every second, third … where they are many."""
    step = timedelta(hours=max(1, -(-int((end - start).total_seconds()) // 3600 // MOST_HOURS_MARKED)))
    at = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if at < start:
        at += timedelta(hours=1)
    found = []
    while at <= end:
        found.append(at)
        at += step
    return found


def _svg(width: float, height: float, said: str, marks: Iterable[Markup], *, stretch: bool = False) -> Markup:
    fit = Markup(' preserveAspectRatio="none"') if stretch else Markup("")
    role = Markup(' role="img" aria-label="{}"').format(said) if said else Markup(' aria-hidden="true"')
    return Markup('<svg viewBox="0 0 {} {}"{}{}>{}</svg>').format(width, height, fit, role, Markup("").join(marks))


def _rect(kind: str, x: float, y: float, width: float, height: float, title: str) -> Markup:
    inside = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">{}</rect>').format(
        kind, x, y, width, height, inside
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def _text(kind: str, x: float, y: float, said: str, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, said)
