"""How a close report writes figures, keys and instants."""

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

SAMPLES_SHOWN = 5


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


def instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def local(at: datetime, zone: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """An instant by the clock of the site."""
    return at.astimezone(ZoneInfo(zone)).strftime(form)
