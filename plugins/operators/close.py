"""The steps of a close. Which days or shifts, and under which name, is decided here once for all of them."""

from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.catalog import calendar, marts, sources
from include.lineage.naming import mart_uri, model_uri, raw_uri
from plugins.operators.lineage import LineageOperator
from plugins.operators.links import CloseReportLink, DataDocsLink
from plugins.operators.ot import GAPS, READINGS


def close_run_id(dag_run) -> str:
    """The name of the close. Airflow's run id alone is not enough: two calendars may be started at one instant."""
    return f"{dag_run.dag_id}.{dag_run.run_id}"


def window(dag_run, params: dict[str, Any], calendar_name: str) -> tuple[str, str]:
    """The names of the periods to close, first and last.

    Params win. Without them it is the period of the run's data interval, and for a run without one
    (started by hand with no logical date) the one that had ended when the run was asked for. The clock is
    never read, so a task that is cleared next week closes the same day or shift.
    """
    first = params.get("from_date") or params.get("from_shift")
    last = params.get("to_date") or params.get("to_shift")
    if first or last:
        first, last = first or last, last or first
        if first > last and not first.startswith(last):
            raise AirflowFailException(
                f"The first, {first}, is after the last, {last}: trigger the run again with both in order"
            )
        return first, last
    periods = calendar(calendar_name).periods
    if dag_run.data_interval_start is not None:
        closed = periods.at(dag_run.data_interval_start)
    else:
        closed = periods.last_ended(dag_run.logical_date or dag_run.run_after)
    if closed is None:
        raise AirflowFailException(
            f"The calendar {calendar_name} has no period for this run: name one with the param `from_shift`"
        )
    return closed.name, closed.name


def triggered_by(dag_run) -> str:
    """The Airflow user who triggered the run, or what did (`schedule`, `backfill`)."""
    kind = dag_run.run_type.value
    return dag_run.triggering_user_name or ("schedule" if kind == "scheduled" else kind)


class CloseOperator(LineageOperator):
    """Base of the steps: knows pack and calendar, and finds the close that `freeze` opened for this run."""

    ui_color = "#e8f1ee"

    def __init__(self, *, pack: str, calendar: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.pack, self.calendar = pack, calendar

    def opened(self, context: Context):
        from include.publish.freeze import load_close

        return load_close(close_run_id(context["dag_run"]))


class FreezeOperator(CloseOperator):
    """Fix the close's version and cut-off; everything after it reads no further.

    The same run always gets the same version and cut-off, so clearing any step of a close changes nothing
    but repairs. New data needs a new run. Acceptances given with the run are recorded here, by name. The
    schedule's first run on an empty platform is skipped: it starts the moment that Airflow does.
    """

    clear_hint = "Clear `freeze`: it keeps the cut-off it has, or takes its first one."

    def execute(self, context: Context) -> dict[str, Any]:
        from include.publish.freeze import OT, freeze

        run, params = context["dag_run"], context["params"]
        first, last = window(run, params, self.calendar)
        reason = params.get("reason") or f"{run.run_type.value} run"
        patterns = params.get("accept") or []
        if patterns and not params.get("reason"):
            raise AirflowFailException(
                "accept needs a reason: trigger the run again and say why the failure is right this time"
            )
        if run.run_type.value == "scheduled" and self._nothing_landed():
            raise AirflowSkipException("Nothing has landed on this platform yet: there is no day to close")
        close = freeze(self.pack, self.calendar, first, last, close_run_id(run), reason)
        if patterns:
            self._accept(close, patterns, run, reason)
        self.log.info("Closing %s, versions %s", close.label, sorted(set(close.keys.values())))
        for name, until in close.cut_off.items():
            self.log.info("  reads %s up to %s", name, until)
        for table in _raw_tables(self.pack):
            self.read(raw_uri(table))
        if OT in close.cut_off:
            self.read(READINGS, GAPS)
        self.wrote("iceberg://ops/closes")
        return {"first": first, "last": last, "keys": close.keys, "cut_off": close.cut_off}

    def _nothing_landed(self) -> bool:
        from include.publish.freeze import OT, cut_off_now

        positions, _ = cut_off_now(self.pack, wait=False)
        return all(at == {"epoch": 0, "commit_lsn": 0} for name, at in positions.items() if name != OT)

    def _accept(self, close, patterns: list[str], run, reason: str) -> None:
        from include.gate.accept import accept

        who = triggered_by(run)
        for pattern in patterns:
            accept(list(close.keys), pattern, who, reason)
            self.log.warning("%s accepts %r for this close: %s", who, pattern, reason)


class BuildOperator(CloseOperator):
    """Build one layer with dbt, in the workspace of this close; readers never see it."""

    clear_hint = "Fix the model, then clear this task: the layer is built again whole, at the same cut-off."

    def __init__(self, *, layer: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def execute(self, context: Context) -> None:
        from include.build import build_layer
        from include.lineage.models import built

        close = self.opened(context)
        results = build_layer(close, self.layer)
        try:
            for model in built(close, results):
                self.wrote(model.uri, of=model.inputs, columns=model.columns)
        except Exception as error:  # what was built is right, whatever keeps us from telling its lineage
            self.log.warning("The lineage of the layer could not be told: %s", error)


class GateOperator(CloseOperator):
    """Check one layer against `expectations/<pack>/`; stop the close if a critical one fails unaccepted.

    All suites run in this one process: importing Great Expectations is the dear part. A critical failure is
    not retried: the same rows would fail again. A warning is logged.
    """

    ui_color = "#fdf3dc"
    operator_extra_links = (DataDocsLink(),)
    clear_hint = (
        "Wrong at the source: correct it there and trigger a new run (a cleared one keeps its cut-off). "
        "Wrong rule or model: fix it and clear from the build before this gate. "
        "Right after all: accept it, then clear this gate."
    )

    def __init__(self, *, layer: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def execute(self, context: Context) -> None:
        from include.gate.run import check_layer  # loads Great Expectations: in the worker only
        from include.settings import settings

        close = self.opened(context)
        report = check_layer(close, self.layer)
        if report.data_docs:
            self.docs_path = Path(report.data_docs).relative_to(settings.data_docs_dir).as_posix()
        for result in report.results:
            uri = raw_uri(result.table) if self.layer == "landing" else model_uri(self.pack, result.table)
            self.read(uri, assertions=[_plain(result)])
        self.wrote("iceberg://ops/gate_results", rows=len(report.results))
        for warning in report.warnings:
            self.log.warning("%s", warning)
        for accepted in report.accepted:
            self.log.warning("accepted: %s", accepted)
        if report.failures:
            stop = AirflowFailException(report.what_on_call_needs())
            stop.detail = [_plain(f) for f in report.failures]  # for the alert
            raise stop


class PublishOperator(CloseOperator):
    """Put the close's window into every mart of the pack in one commit, and seal it.

    The task takes a lease and checks it again at the commit, so a copy that was lost and came back cannot
    publish beside its retry.
    """

    ui_color = "#dbe9f6"
    clear_hint = "Clear `publish`: what was half done is completed or undone first, and nothing is published twice."

    def execute(self, context: Context) -> None:
        from include.publish.publish import publish

        close = self.opened(context)
        run, ti = context["dag_run"], context["ti"]
        done = publish(
            close, who=triggered_by(run), why=context["params"].get("reason") or None, try_number=ti.try_number
        )
        for mart in marts(self.pack):
            built = model_uri(self.pack, mart.name)
            as_built = {column: [(built, column)] for column in mart.columns}
            self.wrote(mart_uri(self.pack, mart.name), of=[built], columns=as_built, rows=done.rows.get(mart.name))
        if done.publish_id is None:
            self.log.info("%s is published as it stands already", close.label)
        else:
            self.log.info(
                "Published %s: %s changed, %d figures restated", close.label, ", ".join(done.tables), done.restatements
            )


class ReportOperator(CloseOperator):
    """Write the close report (HTML and JSON) and store the run's lineage events."""

    operator_extra_links = (CloseReportLink(), DataDocsLink())

    def execute(self, context: Context) -> str:
        from include.gate.data_docs import site_of
        from include.lineage.store import load_events
        from include.publish.report import write_report
        from include.settings import settings
        from plugins.views.by_run import remember

        run = context["dag_run"]
        close = self.opened(context)
        path = write_report(close)
        self.docs_path = (site_of(close) / "index.html").relative_to(settings.data_docs_dir).as_posix()
        self.report_path = path.relative_to(settings.reports_dir).as_posix()
        remember(run.dag_id, run.run_id, path)
        for mart in marts(self.pack):
            self.read(mart_uri(self.pack, mart.name))
        self.wrote(f"report://{self.pack}/{self.calendar}")
        self.wrote("iceberg://ops/lineage_events", of=["inbox://openlineage/events"])
        self.log.info("Report: %s; stored %d lineage events", path, load_events())
        return str(path)


def _raw_tables(pack: str) -> list[str]:
    from include.catalog import feeds

    cdc = [t.identifier for s in sources() if s.pack == pack for t in s.tables]
    return cdc + [f.identifier for f in feeds() if f.pack == pack]


def _plain(result) -> dict[str, Any]:
    """A result as a dict that JSON takes."""
    found = asdict(result) if is_dataclass(result) else dict(result)
    return {k: v.isoformat() if isinstance(v, date | datetime) else v for k, v in found.items()}
