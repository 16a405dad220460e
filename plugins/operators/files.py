"""Partner files: what waits, landing it in order of arrival, and who is late."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetAlias, Context

from include.catalog import Feed, calendar, feed, feeds
from include.contract_day import ContractDay
from include.lineage.naming import feed_uri
from plugins.operators.lineage import LineageOperator

LANDED_FILES = AssetAlias("landed_files")  # stands for the raw tables that a file turned out to go to
ALONE = 8  # up to so many files get a task each
TOGETHER = 100  # of more, so many neighbours share one: a task costs seconds, a commit most of one


def batches(arrivals: Sequence[dict[str, str]]) -> list[list[dict[str, str]]]:
    """The files in order of arrival, one a task while they are few."""
    size = 1 if len(arrivals) <= ALONE else TOGETHER
    return [list(arrivals[i : i + size]) for i in range(0, len(arrivals), size)]


class DiscoverFilesOperator(LineageOperator):
    """List what waits in the inbox, in order of arrival. Files still being written are left for the next run."""

    clear_hint = "Clear `discover`: it only looks."

    def execute(self, context: Context) -> list[list[dict[str, str]]]:
        from include.land.files import discover

        found = discover()
        self.log.info("%d files wait", len(found))
        for one in feeds():
            self.read(feed_uri(one))
        return batches(found)


class LandFilesOperator(LineageOperator):
    """Land one file (or some neighbours): in raw once, whatever is cleared or killed; a bad one in quarantine."""

    ui_color = "#e8f1ee"
    clear_hint = "Clear this task: a file that is in raw already is not landed again."

    def __init__(self, *, files: list[dict[str, str]], **kwargs) -> None:
        super().__init__(**kwargs)
        self.files = files

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from include.land.files import land

        context["file_names"] = ", ".join(f["path"].rsplit("/", 1)[-1] for f in self.files[:3]) + (
            " …" if len(self.files) > 3 else ""
        )
        transfers = land(self.files)
        events = context["outlet_events"][LANDED_FILES]
        for name in sorted({t.feed for t in transfers if t.state == "landed"}):
            landed = feed(name)
            events.add(Asset(landed.uri))
            self.wrote(landed.uri, of=[feed_uri(landed)], rows=sum(t.rows_landed for t in transfers if t.feed == name))
        self.wrote(
            "iceberg://ops/file_transfers",
            of=[feed_uri(feed(f["feed_name"])) for f in self.files if f["feed_name"] in _names()],
        )
        for transfer in transfers:
            (self.log.warning if transfer.state == "quarantined" or transfer.rows_quarantined else self.log.info)(
                "%s", transfer
            )
        return [
            {
                k: v
                for k, v in asdict(t).items()
                if k in ("feed", "file_name", "state", "rows_landed", "rows_quarantined", "reason")
            }
            for t in transfers
        ]


class FileSummaryOperator(LineageOperator):
    """Say what became of the run's files, and tell on-call which feed is past its deadline (once per feed and day)."""

    clear_hint = "Clear `summary`: it only reads."

    def __init__(self, *, transfers: Any, **kwargs) -> None:
        super().__init__(**kwargs)
        self.transfers = transfers

    template_fields = ("transfers",)

    def execute(self, context: Context) -> dict[str, int]:
        found = [t for batch in self.transfers or () for t in batch]
        states = {state: sum(t["state"] == state for t in found) for state in ("landed", "duplicate", "quarantined")}
        rows = {name: sum(t[name] for t in found) for name in ("rows_landed", "rows_quarantined")}
        self.log.info("%s", {**states, **rows})
        self.read("iceberg://ops/file_transfers")
        for late, day in late_feeds(context["dag_run"].run_after):
            self._tell(late, day, context)
        return {**states, **rows}

    def _tell(self, late: Feed, day, context: Context) -> None:
        from include.ops.alerts import Alert, raise_alert
        from include.ops.store import read

        ti, what = (
            context["ti"],
            f"No file of {late.full_name} for {day} by its deadline of {late.deadline} {late.zone}",
        )
        self.log.warning("%s", what)
        if not read("alerts", dag_id=ti.dag_id, what=what):
            hint = (
                f"Nothing to clear. Ask {late.owner} or the sender; a close without it warns or stops at gate_landing"
            )
            raise_alert(
                Alert(
                    ti.dag_id,
                    ti.task_id,
                    ti.run_id,
                    ti.try_number,
                    what,
                    {"feed": late.full_name, "day": str(day)},
                    hint,
                )
            )
            self.wrote("iceberg://ops/alerts")


def late_feeds(at: datetime) -> list[tuple[Feed, Any]]:
    """Each daily feed that is past its deadline for the contract day that is due at `at`, with that day.

    A feed that never sent anything is not late: it may not be in use on this platform.
    """
    from include.ops.store import read

    late = []
    for one in feeds():
        if one.cadence != "day" or not one.deadline:
            continue
        transfers = read("file_transfers", feed=one.full_name, state="landed")
        day = due_day(one, at)
        site = calendar(one.calendar)
        if transfers and max(t["received_at"] for t in transfers) < ContractDay(site.zone, site.contract_hour).ends_at(
            day
        ):
            late.append((one, day))
    return late


def due_day(one: Feed, at: datetime):
    """The latest contract day whose file is due at `at`: the deadline is the first such time after its end."""
    site = calendar(one.calendar)
    rule, zone, due = ContractDay(site.zone, site.contract_hour), ZoneInfo(one.zone), time.fromisoformat(one.deadline)
    day = rule.last_ended(at)
    ended = rule.ends_at(day).astimezone(zone)
    deadline = datetime.combine(ended.date(), due, tzinfo=zone)
    if deadline < ended:
        deadline = datetime.combine(ended.date() + timedelta(days=1), due, tzinfo=zone)
    return day if deadline <= at else day - timedelta(days=1)


def _names() -> set[str]:
    return {f.full_name for f in feeds()}
