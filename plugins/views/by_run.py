"""Which report belongs to which run: a small file per run, so that the web server need not ask the lakehouse."""

from hashlib import sha256
from pathlib import Path

from include.settings import settings


def remember(dag_id: str, run_id: str, report: Path) -> None:
    """Note the report of a run; a later one of the same run takes its place."""
    note = _note(dag_id, run_id)
    note.parent.mkdir(parents=True, exist_ok=True)
    half = note.with_suffix(".half")
    half.write_text(report.relative_to(settings.reports_dir).as_posix())
    half.replace(note)


def report_of(dag_id: str, run_id: str) -> str | None:
    """The path of the run's report below `reports/`, or None where it wrote none."""
    note = _note(dag_id, run_id)
    return note.read_text() if note.is_file() else None


def _note(dag_id: str, run_id: str) -> Path:
    return settings.reports_dir / ".runs" / sha256(f"{dag_id}\n{run_id}".encode()).hexdigest()
