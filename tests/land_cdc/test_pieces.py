"""The parts of landing that need no platform: clocks, types, declarations, references to secrets."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from include.catalog import Table
from include.errors import DeclarationError, LandingError
from include.land.local_time import offsets_table, to_utc
from include.land.raw_table import Mark
from include.land.schema_check import compare
from include.land.source_schema import Column
from include.land.worker.connectors import check, resolve
from include.land.worker.decode import UNCHANGED, convert, take_unchanged
from include.land.worker.stream import Stream
from include.settings import settings


def local(*times: str | None) -> pa.Array:
    return pa.array([None if t is None else datetime.fromisoformat(t) for t in times], pa.timestamp("us"))


def utc(*times: str | None) -> list[datetime | None]:
    return [None if t is None else datetime.fromisoformat(t).replace(tzinfo=UTC) for t in times]


def test_of_the_hour_that_autumn_shows_twice_the_first_is_taken():
    oslo = to_utc(local("2024-10-27 01:59:59", "2024-10-27 02:30", "2024-10-27 03:00"), "Europe/Oslo")
    assert oslo.to_pylist() == utc("2024-10-26 23:59:59", "2024-10-27 00:30", "2024-10-27 02:00")


def test_a_time_that_spring_skips_moves_forward_by_the_gap():
    chicago = to_utc(local("2024-03-10 01:59", "2024-03-10 02:30", "2024-03-10 03:30"), "America/Chicago")
    assert chicago.to_pylist() == utc("2024-03-10 07:59", "2024-03-10 08:30", "2024-03-10 08:30")


def test_each_row_has_the_zone_of_its_own_field_and_no_zone_gives_no_instant():
    noon = local("2024-07-01 12:00", "2024-07-01 12:00", "2024-07-01 12:00", None)
    instants = to_utc(noon, ["America/Chicago", "Europe/Oslo", None, "Europe/Oslo"])
    assert instants.to_pylist() == utc("2024-07-01 17:00", "2024-07-01 10:00", None, None)


def test_an_unknown_zone_is_refused():
    with pytest.raises(DeclarationError, match="Mars/Olympus"):
        to_utc(local("2024-01-01 00:00"), "Mars/Olympus")


def test_sql_and_python_read_the_same_clock():
    import duckdb

    times = pa.table({"t": local("1969-12-31 23:00", "2024-03-31 02:30", "2024-10-27 02:30", "2026-07-01 00:00")})
    con = duckdb.connect()
    con.register("times", times)
    con.register("offsets", offsets_table(["Europe/Oslo"]))
    joined = con.execute(
        "select epoch_us(t) - offset_us from times "
        "asof join offsets on zone = 'Europe/Oslo' and t >= local_from order by t"
    ).fetchall()
    assert [us for (us,) in joined] == to_utc(times["t"], "Europe/Oslo").cast(pa.int64()).to_pylist()


def numeric(precision: int, scale: int, **also) -> Column:
    return Column(also.pop("number", 1), also.pop("name", "n"), "numeric", ((precision << 16) | scale) + 4, **also)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (numeric(18, 6), pa.decimal128(18, 6)),
        (numeric(38, 0), pa.decimal128(38, 0)),
        (numeric(39, 2), pa.string()),  # one digit more than Iceberg holds
        (numeric(10, 0x800 - 2), pa.string()),  # numeric(10, -2)
        (Column(1, "n", "numeric", -1), pa.string()),
        (Column(1, "j", "jsonb", -1), pa.string()),
        (Column(1, "s", "int2", -1), pa.int32()),
        (Column(1, "t", "timestamp", -1), pa.timestamp("us")),
    ],
)
def test_raw_keeps_a_type_exactly_or_as_text(column, kind):
    assert column.arrow == kind


def test_what_does_not_fit_becomes_null_and_is_named_while_the_rest_stays():
    values, refused = convert(["1.25", "NAN", None, "1.255"], pa.decimal128(10, 2), "numeric")
    assert values.to_pylist() == [Decimal("1.25"), None, None, None]
    assert sorted(refused) == [1, 3]


def test_a_value_that_was_not_sent_is_told_from_a_null():
    values = ["a", UNCHANGED, None, [UNCHANGED], "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]
    assert sorted(take_unchanged(values)) == [1, 3, 4]
    assert values == ["a", None, None, None, None]


TABLE = Table("s", "t", "s__t", "p", ("id",), "o", drift={"default": "evolve", "kept_out": "freeze"})


def test_a_rename_is_told_from_a_drop_by_the_columns_number():
    before = (Column(1, "id", "int4", -1), Column(2, "a", "text", -1), Column(3, "b", "text", -1))
    after = (Column(1, "id", "int8", -1), Column(2, "z", "text", -1), Column(4, "c", "text", -1, filled="{x}"))
    assert [(c.column, c.kind, c.needs_load) for c in compare(TABLE, before, after)] == [
        ("id", "retyped", True),
        ("z", "renamed", True),
        ("c", "added", True),
        ("b", "dropped", False),
    ]


def test_a_frozen_column_never_has_its_table_loaded_again():
    after = (Column(1, "id", "int4", -1), Column(2, "kept_out", "text", -1, filled="{x}"))
    (change,) = compare(TABLE, (Column(1, "id", "int4", -1),), after)
    assert (change.kind, change.drift, change.needs_load) == ("added", "freeze", False)


class PlainTable:
    """A table whose conversion is the identity: what the stream hands over can be read off."""

    mark = Mark(1, 100)

    def to_arrow(self, rows, epoch):
        columns = {"id": [v["id"] for v in rows.values], "_seq": rows.places}
        return pa.table(columns | ({"_commit_lsn": rows.commits} if rows.commits else {})), None


def begin() -> bytes:
    return b'{"status": "BEGIN", "id": "1:0"}'


def change(key: int, place: int) -> bytes:
    source = '{"schema": "public", "table": "t", "lsn": 1, "ts_us": 1}'
    row = f'"op": "c", "before": null, "after": {{"id": {key}}}'
    return f'{{{row}, "source": {source}, "transaction": {{"total_order": {place}}}}}'.encode()


def end(lsn: int) -> bytes:
    return f'{{"status": "END", "id": "1:{lsn}"}}'.encode()


def landed(stream: Stream) -> list[tuple[int, int]]:
    parts = stream.take().parts.get(("public", "t"), [])
    return [(r["id"], r["_commit_lsn"]) for part in parts for batch in part.batches() for r in batch.to_pylist()]


def stream_on(folder, spool_rows: int = 1000) -> Stream:
    return Stream(1, folder / "spool", lambda name: PlainTable(), spool_rows)


def test_only_whole_transactions_are_ready_and_the_last_end_is_what_to_acknowledge(tmp_path):
    stream = stream_on(tmp_path)
    last_end = stream.feed(b"\n".join([begin(), change(1, 1), change(2, 2), end(200), begin(), change(3, 1)]))
    assert (last_end, landed(stream)) == (3, [(1, 200), (2, 200)])
    assert (stream.feed(b"\n".join([change(4, 2), end(300)])), landed(stream)) == (1, [(3, 300), (4, 300)])


def test_what_is_in_already_is_left_out(tmp_path):
    stream = stream_on(tmp_path)
    stream.feed(b"\n".join([begin(), change(1, 1), end(100), begin(), change(2, 1), end(101)]))
    assert landed(stream) == [(2, 101)]


def test_what_waits_already_is_not_taken_a_second_time(tmp_path):
    stream = stream_on(tmp_path)
    stream.feed(b"\n".join([begin(), change(1, 1), end(200), begin(), change(2, 1)]))
    stream.feed(b"\n".join([begin(), change(1, 1), end(200), begin(), change(2, 1), end(300)]))  # delivered again
    assert landed(stream) == [(1, 200), (2, 300)]


def test_a_transaction_larger_than_memory_waits_in_files_and_keeps_its_order(tmp_path):
    stream = stream_on(tmp_path, spool_rows=2)
    stream.feed(b"\n".join([begin(), change(1, 1), end(200), begin(), change(2, 1), change(3, 2)]))
    stream.feed(b"\n".join([change(4, 3), change(5, 4)]))
    assert list((tmp_path / "spool").iterdir())
    stream.feed(b"\n".join([change(6, 5), end(300), begin(), change(7, 1), end(400)]))
    assert landed(stream) == [(1, 200), (2, 300), (3, 300), (4, 300), (5, 300), (6, 300), (7, 400)]


CONFIG = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.dbname": "d",
    "database.password": f"${{dir:{settings.secrets_dir}:postgres_cdc}}",
    "slot.name": "s",
    "publication.name": "p",
    "hnai.source": "s",
    "hnai.epoch": 1,
}


def test_a_secret_in_plain_text_is_refused_and_not_repeated():
    with pytest.raises(LandingError, match="by reference") as refused:
        check("c", {**CONFIG, "database.password": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_configuration_is_kept_as_text_and_its_gaps_are_named():
    assert check("c", CONFIG)["hnai.epoch"] == "1"
    with pytest.raises(LandingError, match="slot.name"):
        check("c", {**CONFIG, "slot.name": ""})
    with pytest.raises(LandingError, match="cannot name a connector"):
        check("../c", CONFIG)


def test_a_reference_that_leads_out_of_the_secrets_is_refused():
    with pytest.raises(LandingError, match="outside"):
        resolve({"database.password": "${dir:/etc:passwd}"})
    with pytest.raises(LandingError, match="outside"):
        resolve({"database.password": f"${{dir:{settings.secrets_dir}:../x}}"})
