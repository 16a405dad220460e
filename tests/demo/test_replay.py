"""Real files played into real servers arrive value by value; files that cannot be played are refused in words."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from demo.replay import chosen_by, folder_of, play
from demo.replay_files import ReplayError, read_historian, read_shdr, read_threew, shdr_columns
from include.ot.bridge import client_of
from include.ot.reading import Sample, Sequencer
from include.ot.sources import Source
from include.ot.tags import read as read_tags
from stack.nats import _free_ports

DATA = Path(os.environ.get("HNAI_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
BAD, OUT_OF_RANGE, TIMEOUT, NO_DATA = 0x80000000, 0x803C0000, 0x800A0000, 0x809B0000
HISTORIAN = """\
,FIC-101.PV,PUMP.STATE,LI 7
2017-12-24 00:00:00,0.5,ON,1
2017-12-24 00:05:00,Bad,ON,Inp OutRange
2017-12-24 00:10:00,Scan Timeout,OFF,
2017-12-24 00:15:00,-1e-3,OFF,nan
2017-12-24 00:20:00,Whatever,,4
"""
SHDR = """\
2019-05-15T07:00:43.343385Z|Xload|UNAVAILABLE
2019-05-15T07:00:43.343385Z|Xtravel|Unavailable||||
2019-06-11T10:00:01Z|Xload|12.5|execution|ACTIVE
2019-06-11T10:00:00Z|program|
* PING
2019-06-11T10:00:02Z|Xtravel|FAULT|1010|2|HIGH|Too far
no line at all
2019-06-11T10:00:03Z|Xload|13
"""


@pytest.fixture
def historian(tmp_path) -> Path:
    path = tmp_path / "plant a.csv"
    path.write_text(HISTORIAN)
    return path


@pytest.fixture
def threew(tmp_path) -> Path:
    at = [datetime(2014, 1, 24, 21, 31, second) for second in range(3)]
    table = pa.table(
        {
            "timestamp": pa.array([*at, None], pa.timestamp("us")),
            "P-PDG": pa.array([1.5, None, float("nan"), 7.0]),
            "T-TPT": pa.nulls(4, pa.bool_()),
            "class": pa.array([0, 0, 101, 1], pa.int16()),
            "state": pa.array(["a", None, "b", "b"]),
        }
    )
    pq.write_table(table, tmp_path / "WELL-00001_20140124213136.parquet")
    return tmp_path / "WELL-00001_20140124213136.parquet"


@pytest.fixture
def shdr(tmp_path) -> Path:
    path = tmp_path / "mill-1.txt"
    path.write_text(SHDR)
    return path


# Reading


def test_the_columns_of_an_export_are_found_and_its_texts_say_why_a_number_is_missing(historian):
    table = read_historian(historian)
    rows = list(table.rows)

    assert [(c.name, c.kind) for c in table.columns] == [
        ("FIC-101.PV", "double"), ("PUMP.STATE", "text"), ("LI 7", "double"),
    ]  # fmt: skip
    assert rows[0] == (datetime(2017, 12, 24, tzinfo=UTC), [(0.5, 0), ("ON", 0), (1.0, 0)])
    assert [cells[0] for _, cells in rows[1:]] == [(None, BAD), (None, TIMEOUT), (-0.001, 0), (None, BAD)]
    assert [cells[2][1] for _, cells in rows] == [0, OUT_OF_RANGE, NO_DATA, 0, 0]
    assert rows[4][1][1] == (None, NO_DATA)


@pytest.mark.parametrize(
    ("text", "first", "value"),
    [
        ("t;a\n31.12.2023 23:00;1.234,5\n01.01.2024 00:00;2\n", datetime(2023, 12, 31, 23, tzinfo=UTC), 1234.5),
        ("t\ta\n12/31/2023 23:00:00\t1.5\n01/01/2024 00:00:00\t2\n", datetime(2023, 12, 31, 23, tzinfo=UTC), 1.5),
        ("t,a\n01/02/2024 00:00:00,1\n02/02/2024 00:00:00,2\n03/02/2024 00:00:00,3\n13/02/2024 00:00:00,4\n",
         datetime(2024, 2, 1, tzinfo=UTC), 1.0),
        ("t,a\n2024-01-01T01:00:00+02:00,1\n", datetime(2023, 12, 31, 23, tzinfo=UTC), 1.0),
    ],
)  # fmt: skip
def test_other_exports_of_the_same_kind_are_read_too(tmp_path, text, first, value):
    (tmp_path / "x.csv").write_text(text, encoding="cp1252")

    table = read_historian(tmp_path / "x.csv")

    assert next(table.rows) == (first, [(value, 0)])


def test_times_without_a_zone_are_of_the_zone_that_is_given(historian):
    at, _ = next(read_historian(historian, zone="America/Sao_Paulo").rows)

    assert at == datetime(2017, 12, 24, 2, tzinfo=UTC)


def test_nulls_of_a_parquet_file_are_no_data_and_nan_stays_nan(threew):
    table = read_threew(threew)
    rows = list(table.rows)

    assert [(c.name, c.kind, c.unit) for c in table.columns] == [
        ("P-PDG", "double", "pa"), ("T-TPT", "double", "degc"), ("class", "double", "1"), ("state", "text", "1"),
    ]  # fmt: skip
    assert rows[0] == (datetime(2014, 1, 24, 21, 31, tzinfo=UTC), [(1.5, 0), (None, NO_DATA), (0.0, 0), ("a", 0)])
    assert rows[1][1][0] == (None, NO_DATA) and rows[2][1][0][0] != rows[2][1][0][0]
    assert table.skipped == {"no time": 1}


def test_lines_of_an_adapter_say_what_they_say(shdr):
    lines = read_shdr(shdr)

    assert [line.said for line in lines] == [
        (("Xload", "UNAVAILABLE"),),
        (("Xtravel#level", "UNAVAILABLE"),),
        (("Xload", "12.5"), ("execution", "ACTIVE")),
        (("program", ""),),
        (),
        (("Xtravel#level", "FAULT"),),
        (),
        (("Xload", "13"),),
    ]
    assert {c.name: c.kind for c in shdr_columns(lines)} == {
        "Xload": "double", "Xtravel#level": "text", "execution": "text", "program": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("read", "content", "told"),
    [
        (read_threew, b"PAR", "cannot be read as parquet"),
        (read_historian, b"just text\n", "no table"),
        (read_historian, b"t,a\nyesterday,1\n", "line 2: 'yesterday' is no time"),
        (read_historian, b"t,a\n2024-01-01,1\nlater,1\n", "line 3: 'later' is no time"),
        (read_historian, b"t,a\n", "nothing to play"),
        (read_shdr, b"<xml/>\n", "no line of the form time|key|value"),
        (read_shdr, b"", "no line of the form"),
    ],
)
def test_a_file_that_cannot_be_played_is_refused_in_words(tmp_path, read, content, told):
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(ReplayError, match=told):
        read(tmp_path / "x")


def test_a_parquet_file_without_times_is_refused_with_what_it_has(tmp_path):
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "x.parquet")

    with pytest.raises(ReplayError, match="no column of times; it has: a double"):
        read_threew(tmp_path / "x.parquet")


@pytest.mark.parametrize("read", [read_threew, read_historian, read_shdr])
def test_a_file_that_is_not_there_is_said_so(tmp_path, read):
    with pytest.raises(ReplayError, match="cannot be read"):
        read(tmp_path / "nowhere")


# Playing: the mirror's own clients read what is played


class Sink:
    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def put(self, samples: Sequence[Sample]) -> None:
        self.samples += samples

    def gap(self, *told) -> None: ...

    def state(self, *told) -> None: ...


def mirrored(*arguments: str) -> tuple[set[tuple], set[tuple], set[tuple]]:
    """What was news, all that was served, and what the mirror's client made of it, as they are stored."""
    (port,) = _free_ports(1)
    chosen = chosen_by([*arguments, "--port", str(port)])

    async def run() -> list[Sample]:
        playing = asyncio.create_task(play(chosen, asyncio.Event()))
        declaration = folder_of(chosen.source) / f"{chosen.source}.yaml"
        while not (declaration.exists() and f":{port}" in declaration.read_text()):
            await asyncio.sleep(0.05)
            if playing.done():
                playing.result()
        sink, source = Sink(), declared(declaration)
        client = client_of(source.kind)(source, sink)
        reading = asyncio.create_task(client.run(tuple(tags)))
        await playing
        count = -1
        while count != len(sink.samples):  # the end of the connection comes after all that was sent
            count = len(sink.samples)
            await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return sink.samples

    def declared(path: Path) -> Source:
        tags.extend(read_tags(path.with_name(f"{path.stem}_tags.csv")))
        entry = yaml.safe_load(path.read_text())
        return Source(path.stem, entry.pop("kind"), entry.pop("url"), entry)

    tags = []
    samples = asyncio.run(asyncio.wait_for(run(), 600))
    order, of = Sequencer(), {tag.tag_id: tag for tag in tags}
    readings = [r for s in samples if (r := order.of(s, of[s.tag_id]))]
    stored = {
        (r.tag_id, r.observed_at, r.value_double, r.value_text, r.value_bool, r.quality)
        for r in readings
        if r.clock == "source"
    }
    served = pq.read_table(folder_of(chosen.source) / "served.parquet").to_pylist()
    return {_stored(row) for row in served if row["is_news"]}, {_stored(row) for row in served}, stored


def _stored(row: dict) -> tuple:
    is_nan = row["value_double"] != row["value_double"]
    return (
        row["tag_id"],
        row["observed_at"],
        None if is_nan else row["value_double"],
        row["value_text"],
        row["value_bool"],
        OUT_OF_RANGE if is_nan else row["quality"],
    )


@pytest.mark.platform
@pytest.mark.parametrize("kind", ["historian", "threew", "shdr"])
def test_every_value_of_a_file_arrives_with_its_time_and_quality(kind, request):
    path = request.getfixturevalue(kind)

    news, served, stored = mirrored("mtconnect" if kind == "shdr" else kind, str(path), "--speed", "max")

    assert len(news) >= 6
    assert news <= stored <= served


@pytest.mark.platform
def test_pauses_of_the_file_are_kept_at_a_speed(threew):
    news, _, stored = mirrored("threew", str(threew), "--speed", "20")

    assert news <= stored


@pytest.mark.platform
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("historian", "petrobras_historian/real_process_data.csv"),
        ("threew", "threew_wells/type_2/WELL-00003_20141122214325.parquet"),
        ("threew", "threew_wells/type_6/WELL-00004_20171031193025.parquet"),
        ("mtconnect", "nist_mtconnect_raw/mazak01/mazak01-20190611-20190612.txt"),
        ("mtconnect", "nist_mtconnect_raw/hurco04/hurco04-20190611-20190612.txt"),
    ],
)
def test_real_files_arrive_value_by_value(kind, file):
    if not (DATA / file).is_file():
        pytest.skip(f"{DATA / file} is not here; set HNAI_TEST_DATA to the folder of the real files")

    news, served, stored = mirrored(kind, str(DATA / file), "--speed", "max")

    assert len(news) > 30
    assert news <= stored <= served
