"""Write the close report: one HTML page that needs nothing else, and the same as JSON.

python -m include.publish.report --run-id RUN
"""

import argparse
import json
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from include.publish.freeze import Close, load_close
from include.publish.report_data import Section, collect, layout_of, sections_of
from include.publish.report_page import page
from include.settings import settings


def write_report(close: Close) -> Path:
    """Write the report of a published close as HTML and JSON; give the path of the HTML."""
    said = collect(close, layout_of(close.pack), sections_of(close.pack))
    folder = settings.reports_dir / close.pack / close.calendar / _window(close)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"v{max(close.keys.values())}"
    _put(stem.with_suffix(".json"), json.dumps(said, default=plain, indent=1))
    _put(stem.with_suffix(".html"), page(said))
    return stem.with_suffix(".html")


def plain(value: Any) -> Any:
    """A value as JSON keeps it exactly: decimals as text, instants as ISO 8601, a section by what it says."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Section):
        return {"name": value.name, "title": value.title, "data": value.data}
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _window(close: Close) -> str:
    return close.first if close.first == close.last else f"{close.first}_to_{close.last}"


def _put(path: Path, text: str) -> None:
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_text(text)
    half.replace(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.publish.report", description="Write the report of a close again."
    )
    parser.add_argument("--run-id", required=True, help="the run that froze and published the close")
    a = parser.parse_args(arguments)
    print(write_report(load_close(a.run_id)))


if __name__ == "__main__":
    main()
