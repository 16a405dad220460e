"""Upkeep: one task a kind, each doing only what is left to do, with figures before and after."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from include.catalog import feeds, marts, packs, sources
from include.errors import HnaiError
from include.lineage.naming import mart_uri
from include.settings import secret, settings
from plugins.operators.lineage import LineageOperator
from plugins.operators.ot import GAPS, READINGS, TAG_HEALTH

A_DAY = timedelta(hours=23)  # a little less, so that hourly runs find the daily steps due at the same hour


class UpkeepOperator(LineageOperator):
    """Run one step of `include.maintain` and log what it did per table."""

    clear_hint = "Clear this task: it does what is left to do."

    def __init__(self, *, step: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.step = step

    def execute(self, context: Context) -> int:
        from include import maintain

        done = getattr(maintain, self.step)(run_id=context["run_id"])
        for line in done:
            self.log.info("%s", line)
        for uri in self._tables():
            self.wrote(uri, of=[uri])
        self.wrote("iceberg://ops/maintenance", rows=len(done))
        return len(done)

    def _tables(self) -> list[str]:
        raw = [t.uri for s in sources() for t in s.tables] + [f.uri for f in feeds()] + [READINGS, GAPS, TAG_HEALTH]
        if self.step == "compact_raw":
            return raw
        return raw + [mart_uri(pack, m.name) for pack in packs() for m in marts(pack)]


class StoreLineageOperator(LineageOperator):
    """Store the OpenLineage events that came since the last time."""

    clear_hint = "Clear `store_lineage`: each event is stored once, however often this runs."

    def execute(self, context: Context) -> int:
        from include.lineage.store import load_events

        stored = load_events()
        self.log.info("%d events stored", stored)
        self.read("inbox://openlineage/events")
        self.wrote("iceberg://ops/lineage_events", rows=stored)
        return stored


class OnceADayOperator(LineageOperator):
    """Let the daily steps through when the last ones are a day old, or when somebody triggered the run by hand.

    Not at a fixed hour: a machine that sleeps at night would never get there.
    """

    clear_hint = "Clear `once_a_day`: it only looks."

    def execute(self, context: Context) -> None:
        run = context["dag_run"]
        self.read("iceberg://ops/maintenance")
        if run.run_type.value != "manual" and not is_due(run.run_after):
            raise AirflowSkipException("The daily steps ran less than a day ago")


class ForgetOldRunsOperator(LineageOperator):
    """Delete what Airflow knows of runs that ended long ago, their logs and lineage events. Seals and reports stay."""

    clear_hint = "Clear `forget_old_runs`: it deletes what is left to delete."

    def execute(self, context: Context) -> None:
        from include.lineage.store import forget_events

        before = context["dag_run"].run_after - timedelta(days=settings.retention.runs_days)
        self._clean_database(before)
        forget_events(before)
        self.wrote("iceberg://ops/lineage_events", of=["iceberg://ops/lineage_events"])
        removed = remove_logs(Path(conf.get("logging", "base_log_folder")), before)
        self.log.info("Removed %d log files of before %s", removed, before)

    def _clean_database(self, before: datetime) -> None:
        """By Airflow's own command, in a process of its own: a task has no access to Airflow's database."""
        command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before.isoformat()]
        guarded = {name for name in os.environ if name.startswith("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")}
        environment = {name: value for name, value in os.environ.items() if name not in guarded}
        done = subprocess.run(
            [*command, "--skip-archive", "--yes"],
            env={**environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _airflow_database()},
            capture_output=True,
            text=True,
        )
        for line in done.stdout.splitlines()[-20:]:
            self.log.info("%s", line)
        if done.returncode:
            raise HnaiError(f"`airflow db clean` failed: {done.stderr[-2000:]}")


def is_due(at: datetime) -> bool:
    """Whether the last expiry, or on a young platform the first upkeep at all, lies a day or more before `at`."""
    from include.ops.store import read

    rows = read("maintenance", None, ("recorded_at", "action"))
    expiries = [row for row in rows if row["action"] == "expire"]
    since = expiries[-1] if expiries else rows[0] if rows else None
    return since is not None and since["recorded_at"] <= at - A_DAY


def remove_logs(folder: Path, before: datetime) -> int:
    """Remove the log files last written before that instant, and the folders that are empty then."""
    removed = 0
    for path in sorted(folder.rglob("*"), key=lambda p: len(p.parts), reverse=True):
        if path.is_file() and path.stat().st_mtime < before.timestamp():
            path.unlink()
            removed += 1
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return removed


def _airflow_database() -> str:
    where = f"{settings.postgres_host}:{settings.port('postgres')}"
    return f"postgresql+psycopg2://airflow:{secret('postgres_airflow')}@{where}/airflow"
