"""The tables of the mirror in the lakehouse, and the columns of a segment.

    ot.readings    every reading once; key tag_id, observed_at, sequence; in the day that it was observed
    ot.gaps        what may be missing, a row per gap, tag and state; a state that moves on is a further row
    ot.tag_health  a row per tag and hour, for whoever looks after the tags

Every commit to `ot.readings` has a number of its own, `_ordinal`, in its rows and in its snapshot's summary; the rows
of `ot.gaps` that came with it have the same. A close reads both up to one ordinal.
"""

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

SEGMENT_SCHEMA = pa.schema(
    [
        ("tag_id", pa.string()),
        ("observed_at", _TIME),
        ("sequence", pa.int32()),
        ("value_double", pa.float64()),
        ("value_text", pa.string()),
        ("value_bool", pa.bool_()),
        ("quality", pa.int64()),
        ("clock", pa.string()),
        ("served_at", _TIME),
        ("received_at", _TIME),
        ("unit", pa.string()),
    ]
)

READINGS = pa.schema(
    [
        *SEGMENT_SCHEMA,
        ("landed_at", _TIME),
        ("_segment_id", pa.string()),  # <spool>-<number>, or backfill-<gap id>
        ("_ordinal", pa.int64()),
    ]
)

GAPS = pa.schema(
    [
        ("gap_id", pa.string()),
        ("tag_id", pa.string()),
        ("source", pa.string()),
        ("from_at", _TIME),
        ("to_at", _TIME),
        ("cause", pa.string()),
        ("state", pa.string()),  # open, then one of backfilled, lost, dismissed
        ("recovered_rows", pa.int64()),
        ("reason", pa.string()),
        ("recorded_at", _TIME),
        ("_ordinal", pa.int64()),
    ]
)

TAG_HEALTH = pa.schema(
    [
        ("tag_id", pa.string()),
        ("hour_at", _TIME),  # its start, UTC
        ("readings", pa.int64()),
        ("good", pa.int64()),
        ("uncertain", pa.int64()),
        ("bad", pa.int64()),
        ("out_of_range", pa.int64()),  # not bad, yet outside range_low to range_high of the dictionary
        ("last_observed_at", _TIME),  # within the hour; null where nothing was read
        ("last_quality", pa.int64()),
        ("last_value_double", pa.float64()),
        ("last_value_text", pa.string()),
        ("last_value_bool", pa.bool_()),
        (
            "is_stale",
            pa.bool_(),
        ),  # its source was silent, or it was for longer than it may, when the hour ended or was last looked at
        ("gap_s", pa.float64()),  # of the hour, covered by gaps that were not backfilled
        ("is_declared", pa.bool_()),  # in the dictionary when the row was made
        ("looked_at", _TIME),
    ]
)

READINGS_TABLE, GAPS_TABLE, TAG_HEALTH_TABLE = "ot.readings", "ot.gaps", "ot.tag_health"


def ensure() -> None:
    """Make the tables that are missing, and give the others the columns that are new."""
    from include.lakehouse import ensure_table
    from include.settings import settings

    ensure_table(
        READINGS_TABLE,
        READINGS,
        partition_by=(("observed_at", "day"), ("tag_id", f"bucket[{settings.ot.buckets}]")),
    )
    ensure_table(GAPS_TABLE, GAPS)
    ensure_table(TAG_HEALTH_TABLE, TAG_HEALTH, partition_by=(("hour_at", "day"),))
