"""Supervision of a source's change stream. The worker writes it; each of these may be cleared at will."""

from typing import Any

from airflow.sdk import Context

from include.catalog import source as declared
from include.errors import LandingError
from include.lineage.naming import source_uri
from plugins.operators.lineage import LineageOperator


class LandingOperator(LineageOperator):
    """Base of the steps: knows the source by name."""

    ui_color = "#e8f1ee"

    def __init__(self, *, source: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.source = source

    def carries(self, *tables: str) -> None:
        """Tell lineage that these tables (all where none is named) go from the source to raw."""
        found = declared(self.source)
        for table in found.tables:
            if not tables or table.name in tables:
                self.wrote(table.uri, of=[source_uri(found, table)])

    def compares(self) -> None:
        """Tell lineage that source and raw were both read."""
        found = declared(self.source)
        self.read(*(uri for t in found.tables for uri in (source_uri(found, t), t.uri)))


class RegisterOperator(LandingOperator):
    """Publish the declared tables and give the connector its configuration; what runs rightly is left alone.

    The stream that this sets up has no task of its own, so its lineage, source to raw, is told here.
    """

    clear_hint = "Run the statement that the message names as the source's owner, then clear `register`."

    def execute(self, context: Context) -> dict[str, Any]:
        from include.land.connect import register_connector

        done = register_connector(self.source)
        for warning in done.get("warnings", ()):
            self.log.warning("%s", warning)
        if done.get("added"):
            self.log.info("Joined the stream: %s", ", ".join(done["added"]))
        self.carries()
        return done


class SchemaCheckOperator(LandingOperator):
    """Compare the source's catalogue with what was landed, and load again what changed without an event."""

    clear_hint = "Clear `check_schema`: a load that was interrupted goes on where it stood."

    def execute(self, context: Context) -> dict[str, Any]:
        from include.land.schema_check import check_source

        done = check_source(self.source)
        for change in done["changes"]:
            if change["kind"] == "added":
                self.log.warning("%s", change["text"])
            else:  # what models read has gone or changed
                self._tell(change, context)
        for table in done["loaded"]:
            self.log.info("loaded %(table)s: %(rows)d rows in %(seconds).1f s, %(reason)s", table)
            found = declared(self.source)
            loaded = next((t for t in found.tables if t.name == table["table"]), None)
            if loaded:
                self.wrote(loaded.uri, of=[source_uri(found, loaded)], rows=table["rows"])
        if not done["loaded"]:
            self.compares()
        return {"changes": [c["text"] for c in done["changes"]], "loaded": [t["table"] for t in done["loaded"]]}

    def _tell(self, change: dict[str, Any], context: Context) -> None:
        from include.ops.alerts import Alert, raise_alert

        ti = context["ti"]
        raise_alert(
            Alert(
                ti.dag_id,
                ti.task_id,
                ti.run_id,
                ti.try_number,
                f"{self.source}: {change['text']}",
                change,
                "Nothing to clear. If it was not meant, have the source restore it; if it was, change what reads it",
            )
        )


class WatchOperator(LandingOperator):
    """Fail when the stream stands still or the source holds back more WAL for it than the bound."""

    clear_hint = "Clear `register` with downstream: it restarts a connector that failed; lag then goes by itself."

    def execute(self, context: Context) -> dict[str, Any]:
        from include.land.connect import lag, running

        running(self.source)
        found = lag(self.source)
        self.log.info("%s", found)
        if found["is_over"]:
            raise LandingError(
                f"{self.source} holds back {_mb(found['retained_bytes'])} for the slot {found['slot']} "
                f"(bound {_mb(found['bound_bytes'])}, state {found['wal_status']}): its disk fills up on our account"
            )
        self.compares()
        return found


class ReconcileOperator(LandingOperator):
    """Count and sum every table in the source and in raw at one position. Tolerance 0."""

    clear_hint = "Clear `reconcile` to compare again, at a position of now. Do not close while it differs."

    def execute(self, context: Context) -> None:
        from include.land.reconcile import reconcile

        differing = []
        for table in reconcile(self.source):
            (self.log.info if table.is_equal else self.log.error)("%s", table)
            if not table.is_equal:
                differing.append(table)
        self.compares()
        self.wrote("iceberg://ops/reconciliations")
        if differing:
            raise LandingError(f"{self.source}: raw differs from the source in " + ", ".join(str(t) for t in differing))


def _mb(size: int | None) -> str:
    return "all its WAL (the slot is lost)" if size is None else f"{size / 1024 / 1024:.0f} MB"
