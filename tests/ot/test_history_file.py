"""A historian's export is taken in once, whatever is wrong with some of its rows, killed, and beside a drain."""

import csv
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.errors import OtError
from include.ot import history_file, lake, tables
from include.ot.history_file import take_in
from include.ot.reading import BAD, GOOD, UNCERTAIN, Reading
from include.ot.tags import Tag
from include.settings import ROOT
from tests.ot.lake_trial import SECOND, empty_spool, in_the_table, ordinals, rows_of

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
PRESSURE, COUNT, STATE, FLAG = "X-1.pressure", "X-1.count", "X-1.state", "X-1.is_on"
KINDS = {PRESSURE: "double", COUNT: "long", STATE: "text", FLAG: "boolean"}


def tag(tag_id: str, data_type: str, source: str = "plant") -> Tag:
    asset, measurement = tag_id.split(".")
    return Tag(tag_id, f"site/{asset}/{measurement}", asset, measurement, source, "", data_type, "psi")


@pytest.fixture(autouse=True)
def dictionary(monkeypatch):
    known = [tag(*one) for one in KINDS.items()] + [tag("Y-1.level", "double", "another")]
    monkeypatch.setattr(history_file, "tags", lambda source=None: [t for t in known if source in (None, t.source)])


@pytest.fixture
def spool(lake_platform, tmp_path):
    yield from empty_spool(tmp_path / "spool")


def at(second: int) -> str:
    return (NOON + second * SECOND).isoformat()


def export(path: Path, rows, names=("tag_id", "observed_at", "value")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def reasons(path: Path) -> dict[int, str]:
    with path.open(newline="") as file:
        return {int(row["line"]): row["reason"] for row in csv.DictReader(file)}


def readings() -> list[dict]:
    return rows_of(tables.READINGS_TABLE, "tag_id", "observed_at", "sequence")


@pytest.mark.platform
def test_values_become_what_the_dictionary_says(spool, tmp_path):
    rows = [(PRESSURE, at(0), "12.5"), (COUNT, at(0), "65535"), (STATE, at(0), "RUN"), (FLAG, at(0), "true")]

    done = take_in(export(tmp_path / "h.csv", rows))

    assert (done.rows, done.new, done.refused) == (4, 4, 0)
    found = {row["tag_id"]: (row["value_double"], row["value_text"], row["value_bool"]) for row in readings()}
    assert found == {
        PRESSURE: (12.5, None, None),
        COUNT: (65535.0, None, None),
        STATE: (None, "RUN", None),
        FLAG: (None, None, True),
    }
    assert {(r["quality"], r["clock"], r["unit"], r["sequence"]) for r in readings()} == {(GOOD, "source", "psi", 0)}
    assert all(r["_segment_id"].startswith("file-") and len(r["_segment_id"]) == 21 for r in readings())


@pytest.mark.platform
def test_a_row_that_cannot_be_used_is_told_with_its_line_and_reason_and_the_others_are_taken(spool, tmp_path):
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    file = export(
        tmp_path / "h.csv",
        [
            (PRESSURE, at(0), "1"),
            ("NOBODY.knows", at(0), "1"),
            (PRESSURE, "2026-06-10 12:00:01", "1"),
            (PRESSURE, "yesterday", "1"),
            (PRESSURE, at(2), "high"),
            (FLAG, at(2), "perhaps"),
            (PRESSURE, "1970-01-01T00:00:00Z", "1"),
            (PRESSURE, tomorrow.isoformat(), "1"),
            ("", at(2), "1"),
            (PRESSURE, at(3), "2"),
        ],
    )

    done = take_in(file)

    assert (done.rows, done.new, done.refused) == (10, 2, 8)
    assert done.refused_in == tmp_path / "h.csv.refused.csv"
    told = reasons(done.refused_in)
    assert told[3] == "the dictionary has no such tag" and told[10] == "no tag_id"
    assert told[4] == told[5] and "no instant with a zone" in told[4]
    assert (told[6], told[7]) == ("value is no number", "value is no flag")
    assert told[8] == told[9] == "observed_at is before 2000 or in the future"
    assert "8 refused: see" in str(done)


@pytest.mark.platform
def test_a_report_goes_once_the_file_is_mended(spool, tmp_path):
    file = export(tmp_path / "h.csv", [(PRESSURE, at(0), "high")])
    refused_in = take_in(file).refused_in
    assert refused_in.exists()

    take_in(export(file, [(PRESSURE, at(0), "900")]))

    assert not refused_in.exists()


@pytest.mark.platform
def test_qualities_are_words_or_codes_and_a_bad_one_needs_no_value(spool, tmp_path):
    told = [
        ("1", "good"),
        ("2", "Uncertain"),
        ("", "bad"),
        ("No Data", "bad"),
        ("3", "1083375616"),
        ("4", ""),
        ("", ""),
    ]
    rows = [(PRESSURE, at(n), *row) for n, row in enumerate([*told, ("1", "fine")])]

    done = take_in(export(tmp_path / "h.csv", rows, ("tag_id", "observed_at", "value", "quality")))

    assert (done.new, reasons(done.refused_in)) == (7, {9: "quality is no status code"})
    found = [(r["value_double"], r["quality"]) for r in readings()]
    assert found[:6] == [(1.0, GOOD), (2.0, UNCERTAIN), (None, BAD), (None, BAD), (3.0, 1083375616), (4.0, GOOD)]
    assert found[6][0] is None and found[6][1] >= BAD


@pytest.mark.platform
def test_a_file_taken_twice_adds_nothing_and_the_same_as_parquet_neither(spool, tmp_path):
    rows = [(PRESSURE, NOON + n * SECOND, str(n)) for n in range(100)]
    file = export(tmp_path / "h.csv", [(t, when.isoformat(), value) for t, when, value in rows])
    columns = dict(zip(("tag_id", "observed_at", "value"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table({**columns, "value": [float(v) for v in columns["value"]]}), tmp_path / "h.parquet")

    new = [take_in(one).new for one in (file, file, tmp_path / "h.parquet")]

    assert new == [100, 0, 0]
    assert len(in_the_table()) == 100 and max(in_the_table().values()) == 1
    assert ordinals() == [1]


@pytest.mark.platform
def test_what_came_live_stays_and_what_repeats_within_the_file_is_one_reading(spool, tmp_path):
    spool.seal([Reading(PRESSURE, 99.0, None, None, GOOD, NOON, "source", None, NOON, 0, "psi")])
    spool.drain()
    rows = [(PRESSURE, at(0), "1"), (PRESSURE, at(1), "2"), (PRESSURE, at(1), "2"), (PRESSURE, at(1), "3")]

    done = take_in(export(tmp_path / "h.csv", rows))

    assert done.new == 2
    found = [(r["observed_at"], r["sequence"], r["value_double"]) for r in readings()]
    assert found == [(NOON, 0, 99.0), (NOON + SECOND, 0, 2.0), (NOON + SECOND, 1, 3.0)]


@pytest.mark.platform
def test_killed_half_way_it_goes_on_where_it_was(spool, tmp_path, monkeypatch):
    days = [(PRESSURE, (NOON + timedelta(days=n)).isoformat(), str(n)) for n in range(4)]
    file = export(tmp_path / "h.csv", days)
    monkeypatch.setattr(history_file, "ROWS_A_COMMIT", 1)
    commit, commits = lake.commit, []

    def killed(*given, **more):
        if len(commits) == 2:
            raise KeyboardInterrupt
        commits.append(commit(*given, **more))
        return commits[-1]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lake, "commit", killed)
        take_in(file)
    assert len(in_the_table()) == 2

    assert take_in(file).new == 2
    assert len(in_the_table()) == 4 and max(in_the_table().values()) == 1
    assert ordinals() == [1, 2, 3, 4]


@pytest.mark.platform
def test_a_drain_that_was_faster_is_looked_at_and_its_readings_are_not_doubled(spool, tmp_path, monkeypatch):
    file = export(tmp_path / "h.csv", [(PRESSURE, at(n), str(n)) for n in range(10)])
    unknown, meanwhile = history_file.unknown, []

    def a_drain_is_faster(held, rows, above=0):
        found = unknown(held, rows, above)
        if len(meanwhile) < 3:
            when = NOON + len(meanwhile) * SECOND
            meanwhile.append(when)
            spool.seal([Reading(PRESSURE, -1.0, None, None, GOOD, when, "source", None, when, 0, "psi")])
            spool.drain()
        return found

    monkeypatch.setattr(history_file, "unknown", a_drain_is_faster)

    assert take_in(file).new == 7
    assert len(in_the_table()) == 10 and max(in_the_table().values()) == 1


@pytest.mark.platform
def test_a_long_history_gets_in_beside_a_drain_that_never_rests(spool, tmp_path):
    count, stop = 120_000, threading.Event()
    times = [NOON + timedelta(seconds=10 * n) for n in range(count)]
    table = pa.table({"tag_id": [PRESSURE] * count, "observed_at": times, "value": [str(n) for n in range(count)]})
    pq.write_table(table, tmp_path / "h.parquet")

    def drain():
        n = 0
        while not stop.wait(1.0):
            n += 1
            when = NOON - n * SECOND
            spool.seal([Reading(STATE, None, "RUN", None, GOOD, when, "source", None, when, 0, "psi")])
            spool.drain()

    beside = threading.Thread(target=drain)
    beside.start()
    try:
        done = take_in(tmp_path / "h.parquet")
    finally:
        stop.set()
        beside.join()

    assert done.new == count and max(in_the_table().values()) == 1
    assert sum(key[0] == PRESSURE for key in in_the_table()) == count


@pytest.mark.platform
def test_of_a_source_only_its_tags_are_taken(spool, tmp_path):
    file = export(tmp_path / "h.csv", [(PRESSURE, at(0), "1"), ("Y-1.level", at(0), "1")])

    done = take_in(file, "another")

    assert (done.new, done.refused) == (1, 1)
    assert [row["tag_id"] for row in readings()] == ["Y-1.level"]
    with pytest.raises(OtError, match="no tag of the source 'nobody'"):
        take_in(file, "nobody")


@pytest.mark.platform
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tag_id,value\nX-1.pressure,1\n", "has no column observed_at; it has tag_id, value"),
        ("", "cannot be read|has no column"),
    ],
)
def test_a_file_that_is_no_history_is_refused_whole_in_one_line(spool, tmp_path, text, said):
    (tmp_path / "h.csv").write_text(text)

    with pytest.raises(OtError, match=said):
        take_in(tmp_path / "h.csv")

    assert not in_the_table()


@pytest.mark.platform
def test_a_file_that_breaks_off_in_a_line_is_refused_whole(spool, tmp_path):
    file = export(tmp_path / "h.csv", [(PRESSURE, at(n), str(n)) for n in range(30_000)])
    file.write_text(file.read_text() + f'{PRESSURE},"{at(30_000)[:10]}')

    with pytest.raises(OtError, match="cannot be read: .*It must be CSV or Parquet"):
        take_in(file)

    assert not in_the_table()


@pytest.mark.platform
def test_a_parquet_file_that_is_none_is_refused(spool, tmp_path):
    (tmp_path / "h.parquet").write_bytes(b"PAR1 and nothing more")

    with pytest.raises(OtError, match="cannot be read"):
        take_in(tmp_path / "h.parquet")


@pytest.mark.platform
def test_by_hand_it_says_what_became_of_the_file(spool, tmp_path):
    def run(path: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "include.ot.history_file", str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    file = export(tmp_path / "h.csv", [("PKG-40.execution", at(0), "RUN"), ("NOBODY.knows", at(0), "1")])

    done, missing = run(file), run(tmp_path / "missing.csv")

    assert done.returncode == 0 and "2 rows: 1 new readings, 0 known, 1 refused: see" in done.stdout
    assert missing.returncode == 1 and "missing.csv" in missing.stderr and "Traceback" not in missing.stderr
