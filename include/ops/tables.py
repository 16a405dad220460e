"""The columns of every table in namespace `ops`, declared once.

All are append-only logs: a state that moves on (a close, a publish) is a further row, never an update.
Every table also has `recorded_at`, filled in when a row is recorded. A column added here appears in the
table with the next row that is recorded.
"""

import pyarrow as pa

from include.errors import DeclarationError

text, number, flag, real = pa.string(), pa.int64(), pa.bool_(), pa.float64()
instant, date = pa.timestamp("us", tz="UTC"), pa.date32()

TABLES: dict[str, dict[str, pa.DataType]] = {
    # One row per close key, version and state (frozen, published, rolled_back).
    "closes": {
        "close_key": text,
        "version": number,
        "state": text,
        "pack": text,
        "calendar": text,
        "production_date": date,
        "clock": text,  # json: name, label, parts and breaks of a shift; null for a contract day
        "from_date": date,
        "to_date": date,
        "run_id": text,
        "reason": text,
        "cut_off": text,  # json: source -> {epoch, commit_lsn}
        "caught_up": flag,  # false: the stream lagged when the close froze, and it took what was there
        "history": text,  # json: mart -> snapshot id before the close
        "frozen_at": instant,
        "history_at": instant,
        "publish_id": text,
        "git_sha": text,
        "row_counts": text,  # json: mart -> rows of this key
        "control_totals": text,  # json: mart -> column -> exact sum over this key
        "snapshot_ids": text,  # json: mart -> snapshot id after the publish
        "verdict": text,
        "who": text,
        "why": text,
    },
    # One row per publish and state (intent, sealed, void, undone).
    "publishes": {
        "publish_id": text,
        "state": text,
        "kind": text,  # publish, rollback
        "pack": text,
        "calendar": text,
        "from_date": date,
        "to_date": date,
        "first": text,  # names of the first and the last period
        "last": text,
        "run_id": text,
        "close_versions": text,  # json: close key -> version
        "tables": text,  # json: mart -> {before, planned}
        "requests": text,  # json: what the catalog is asked, so that recovery can finish it
        "seals": text,  # json: the rows of ops.closes that the publish ends with
        "lease_fence": number,
        "note": text,
    },
    # One row per figure that a version changed against what was published before.
    "restatements": {
        "pack": text,
        "calendar": text,
        "close_key": text,
        "version": number,
        "run_id": text,
        "publish_id": text,
        "table_name": text,
        "row_key": text,  # json
        "change": text,  # changed, appeared, disappeared
        "column_name": text,
        "old_value": text,  # exact, as text; null where there was none
        "new_value": text,
        "cause": text,
    },
    "gate_results": {
        "run_id": text,
        "pack": text,
        "calendar": text,
        "close_key": text,
        "version": number,
        "layer": text,
        "suite": text,
        "table_name": text,
        "expectation": text,
        "column_name": text,
        "severity": text,
        "success": flag,
        "observed": text,
        "bound": text,
        "failing_rows": number,
        "sample_keys": text,  # json
        "accepted_by": text,
        "reason": text,
    },
    "acceptances": {
        "pack": text,
        "close_key": text,
        "pattern": text,
        "who": text,
        "why": text,
        "until": instant,
    },
    "reconciliations": {
        "source": text,
        "table_name": text,
        "epoch": number,
        "commit_lsn": number,
        "column_name": text,
        "source_value": text,
        "raw_value": text,
        "is_equal": flag,
    },
    "file_transfers": {
        "feed": text,
        "file_name": text,
        "sha256": text,
        "state": text,  # landed, duplicate, quarantined
        "rows_landed": number,
        "rows_quarantined": number,
        "reason": text,
        "received_at": instant,
        "batch_ordinal": number,
    },
    "alerts": {
        "dag_id": text,
        "task_id": text,
        "run_id": text,
        "try_number": number,
        "what": text,
        "detail": text,  # json
        "clear_hint": text,
    },
    # One row per model of an asset's condition: what a method learned, from which hours. Never changed, never removed.
    "asset_models": {
        "pack": text,
        "calendar": text,
        "model_id": text,  # follows from method, rules, library, training hours and their values
        "station_id": text,
        "baseline_id": text,  # the work order that renewed the drive, or first
        "product_id": text,
        "method": text,
        "trained_from": instant,  # the training window
        "trained_to": instant,
        "training_h": number,
        "features_snapshot": number,  # of the published mart that the hours were read from
        "library": text,
        "rules": text,  # json
        "parameters": text,  # json
        "run_id": text,
    },
    # One row per event in the life of an alert of an asset's condition; the state of the alert follows from them.
    "asset_alerts": {
        "pack": text,
        "calendar": text,
        "alert_id": text,
        "event_id": text,
        "event": text,  # opened, confirmed, lapsed, subsided, renewed, withdrawn; acknowledged, closed, labelled
        "at": instant,  # end of the hour that tells it, or when somebody said it
        "station_id": text,
        "baseline_id": text,
        "evidence": text,  # json: method -> share of its limit and leading feature
        "label": text,  # true_fault, false_alarm, unclear
        "who": text,
        "why": text,
        "run_id": text,
    },
    "lineage_events": {
        "event_type": text,
        "event_time": instant,
        "run_id": text,
        "job_namespace": text,
        "job_name": text,
        "inputs": text,  # json: list of "namespace name"
        "outputs": text,
        "event": text,  # json, the whole OpenLineage event
        "segment": text,  # the file that the event was read from,
        "byte_offset": number,  # and where its line ends: what is in the table decides where reading goes on
    },
    # One row per dbt model or test of a close.
    "model_runs": {
        "run_id": text,
        "pack": text,
        "calendar": text,
        "layer": text,
        "model": text,
        "kind": text,  # model, test, seed
        "status": text,
        "rows": number,
        "failures": number,
        "duration_s": real,
        "message": text,
    },
    # One row per table and kind of upkeep.
    "maintenance": {
        "run_id": text,
        "table_name": text,
        "action": text,  # compact, expire, orphans, workspaces
        "files_before": number,
        "files_after": number,
        "bytes_before": number,
        "bytes_after": number,
        "snapshots_before": number,
        "snapshots_after": number,
        "removed": number,
        "scan_s_before": real,  # reading a column of the whole table by Trino, where it merged files
        "scan_s_after": real,
        "duration_s": real,
        "note": text,
    },
}


def schema(table: str) -> pa.Schema:
    """The arrow schema of `ops.<table>`, `recorded_at` included."""
    if table not in TABLES:
        raise DeclarationError(f"ops.{table} is not declared. Add its columns to include/ops/tables.py")
    return pa.schema([("recorded_at", instant), *TABLES[table].items()])
