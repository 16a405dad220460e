"""From the inbox to raw on the real lakehouse: once, whatever is killed, resent or dropped beside it."""

import csv
import gzip
import json
import os
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from include import catalog
from include.errors import DeclarationError, LandingError
from tests.land_files.samples import DAILY_HEADER, daily, flow, flow_day, hour, well_day

pytestmark = pytest.mark.platform
FLOW, DAILY = "test_flow_computer.gas_hourly", "test_npd.daily_production"


@pytest.fixture(autouse=True)
def own_feeds(monkeypatch):
    """The declared feeds with tables of their own: what a test lands must not meet what other rooms' tests close."""
    own = tuple(replace(f, source=f"test_{f.source}", identifier=f"test_{f.identifier}") for f in catalog.feeds())
    monkeypatch.setattr(catalog, "feeds", lambda: own)


@pytest.fixture
def land(inbox):
    """`land({name: content, …})`: drop files into the inbox in this order, land what waits; name -> transfer."""
    from include.land import files

    def dropped(contents: dict[str, str | bytes]):
        for i, (name, content) in enumerate(contents.items()):
            path = inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            os.utime(path, (1_700_000_000 + i,) * 2)
        return {t.file_name: t for t in files.land(files.discover())}

    return dropped


def transfers(**equals: str) -> list[dict]:
    from include.ops import store

    return store.read("file_transfers", **equals)


def meter(name: str) -> str:
    return f"meter_id = '{name}'"


def test_the_operators_files_land_with_no_word_said(land, inbox, real_files, raw_rows):
    found = land({path.name: path.read_bytes() for path in sorted(real_files.iterdir())})

    states = {name: (t.state, t.rows_landed, t.rows_quarantined) for name, t in found.items()}
    assert states == {
        "volve_daily_production.csv": ("landed", 15_634, 0),
        "volve_monthly_production.csv": ("quarantined", 0, 0),
        "volve_production_data.xlsx": ("landed", 15_634, 0),
    }
    assert list(inbox.iterdir()) == []
    rows = raw_rows("test_npd__daily_production", f"_batch_id = '{found['volve_daily_production.csv'].sha256}'")
    with (real_files / "volve_daily_production.csv").open(encoding="utf-8", newline="") as lines:
        for number, (row, line) in enumerate(zip(rows, csv.DictReader(lines), strict=True), 1):
            assert (row["_seq"], row["well_bore_code"]) == (number, line["WELL_BORE_CODE"])
            for name in ("BORE_OIL_VOL", "BORE_GAS_VOL", "BORE_WAT_VOL", "BORE_WI_VOL", "AVG_CHOKE_SIZE_P"):
                assert row[name.lower()] == (Decimal(line[name]) if line[name] else None)
    book = raw_rows("test_npd__daily_production", f"_batch_id = '{found['volve_production_data.xlsx'].sha256}'")
    own = {"_commit_lsn", "_source_at", "_landed_at", "_batch_id"}
    assert [{k: v for k, v in r.items() if k not in own} for r in book] == [
        {k: v for k, v in r.items() if k not in own} for r in rows
    ]
    assert {r["_op"] for r in rows} == {"c"} and {r["_epoch"] for r in rows} == {0}


def test_the_same_file_under_two_names_lands_once(land, raw_rows):
    text = daily(well_day("2014-05-01", well="TWICE"))
    found = land({"production.csv": text, "copy of production.csv": text})

    assert found["production.csv"].state == "landed"
    assert found["copy of production.csv"].state == "duplicate"
    assert "The same content is in already, as production.csv" in found["copy of production.csv"].reason
    assert land({"production.csv.gz": gzip.compress(text.encode())})["production.csv.gz"].state == "duplicate"
    assert len(raw_rows("test_npd__daily_production", "well_bore_code = 'TWICE'")) == 1


def test_one_meters_file_under_anothers_name_is_not_counted_twice(land, raw_rows):
    from include.gate.quarantine import held
    from include.land.file_release import release

    text = flow_day("05/01/2024")
    land({"COPY-1_20240501.csv": text})
    found = land({"COPY-2_20240501.csv": text})["COPY-2_20240501.csv"]

    assert found.state == "quarantined"
    assert "Byte for byte the file that landed for meter_id COPY-1, now named for COPY-2" in found.reason
    assert raw_rows("test_flow_computer__gas_hourly", meter("COPY-2")) == []

    [waiting] = held()
    freed = release(waiting.of, waiting.batch[:8], "ann", "both were shut in", vouched=True)
    assert (freed.state, freed.rows_landed) == ("landed", 24)
    assert "Released by ann: both were shut in" in freed.reason
    assert len(raw_rows("test_flow_computer__gas_hourly", meter("COPY-2"))) == 24
    assert held() == []


def test_a_corrected_resend_comes_after_what_it_corrects(land, raw_rows):
    first = land({"FIX_20240502.csv": flow_day("05/02/2024", "10.5")})["FIX_20240502.csv"]
    second = land({"FIX_20240502.csv": flow_day("05/02/2024", "11.5")})["FIX_20240502.csv"]

    assert second.batch_ordinal > first.batch_ordinal
    rows = raw_rows("test_flow_computer__gas_hourly", meter("FIX"))
    latest = {r["hour_started_at_utc"]: r["volume_mcf"] for r in rows}
    assert len(rows) == 48
    assert set(latest.values()) == {Decimal("11.5")}


def test_one_bad_file_does_not_hold_back_the_others(land, inbox):
    from include.settings import settings

    found = land({"GOOD_20240503.csv": flow_day("05/03/2024"), "BAD_20240503.csv": "", "what is this.txt": "hello\n"})

    assert {name: t.state for name, t in found.items()} == {
        "GOOD_20240503.csv": "landed",
        "BAD_20240503.csv": "quarantined",
        "what is this.txt": "quarantined",
    }
    assert list(inbox.iterdir()) == []
    assert "No feed's pattern fits the name 'what is this.txt'" in found["what is this.txt"].reason
    [note] = (settings.state_dir / "quarantine" / FLOW).glob("*.reason.json")
    assert json.loads(note.read_text())["reason"] == found["BAD_20240503.csv"].reason
    assert note.with_name(note.name.removesuffix(".reason.json")).is_file()
    assert [t["state"] for t in transfers(file_name="BAD_20240503.csv")] == ["quarantined"]


def declare(monkeypatch, name: str, **changes: object) -> None:
    """Declare a feed anew, some of its fields changed."""
    feed = replace(catalog.feed(name), **changes)
    others = [f for f in catalog.feeds() if f.full_name != name]
    monkeypatch.setattr(catalog, "feeds", lambda: (feed, *others))


def test_a_held_file_lands_once_its_heading_is_declared(land, raw_rows, monkeypatch):
    from include.gate.quarantine import held
    from include.land.file_release import release

    text = daily(well_day("2014-05-06", well="HEADING"), header=DAILY_HEADER.replace("BORE_OIL_VOL", "OIL_VOL"))
    found = land({"production.csv": text})["production.csv"]
    assert (found.state, [h.what for h in held(DAILY)]) == ("quarantined", ["whole file production.csv"])
    assert "The heading lacks BORE_OIL_VOL. Not declared: OIL_VOL." in release(DAILY, found.sha256, "ann", "try").reason

    columns = (replace(c, aliases=("OIL_VOL",)) if c.name == "bore_oil_vol" else c for c in catalog.feed(DAILY).columns)
    declare(monkeypatch, DAILY, columns=tuple(columns))
    freed = release(DAILY, found.sha256, "ann", "new heading declared")
    assert (freed.state, freed.rows_landed, held(DAILY)) == ("landed", 1, [])
    assert [r["bore_oil_vol"] for r in raw_rows("test_npd__daily_production", "well_bore_code = 'HEADING'")] == [
        Decimal("100.25")
    ]


def test_a_held_row_lands_once_the_declaration_takes_it(land, raw_rows, monkeypatch):
    from include.land.file_commit import open_rows
    from include.land.file_release import release

    text = flow(hour("05/04/2024", 0), hour("05/04/2024", 1, "x"), hour("05/04/2024", 2, "y"))
    found = land({"ROWS_20240504.csv": text})["ROWS_20240504.csv"]
    assert (found.state, found.rows_landed, found.rows_quarantined) == ("landed", 1, 2)
    assert found.reason == "2 rows in quarantine, the first is row 2: volume_mcf: 'x' is not a number"

    declare(monkeypatch, FLOW, options={"nulls": ["x"]})
    freed = release(FLOW, found.sha256, "ann", "x means no value, says the sender")
    assert (freed.rows_landed, freed.rows_quarantined) == (1, 1)
    assert "row 3: volume_mcf: 'y' is not a number" in freed.reason
    assert [row["_row_number"] for row in open_rows(catalog.feed(FLOW))] == [3]
    assert [
        (r["_seq"], str(r["volume_mcf"])[:5]) for r in raw_rows("test_flow_computer__gas_hourly", meter("ROWS"))
    ] == [
        (1, "10.50"),
        (2, "None"),
    ]


def test_a_release_never_overrides_a_later_file(land, raw_rows, monkeypatch):
    from include.land.file_release import release

    held = flow(hour("05/05/2024", 0), hour("05/05/2024", 1, "x"))
    found = land({"LATE_20240505.csv": held})["LATE_20240505.csv"]
    land({"LATE_20240505.csv": flow(hour("05/05/2024", 0), hour("05/05/2024", 1, "7"))})
    declare(monkeypatch, FLOW, options={"nulls": ["x"]})
    freed = release(FLOW, found.sha256, "ann", "too late")

    assert freed.rows_landed == 0
    assert "row 2 came again with a later file, which stays" in freed.reason


def test_one_of_two_contradicting_hours_can_be_chosen(land, raw_rows):
    from include.land.file_release import release

    text = flow(hour("05/06/2024", 0, "1"), hour("05/06/2024", 0, "2"))
    found = land({"EITHER_20240506.csv": text})["EITHER_20240506.csv"]
    assert (found.state, found.rows_landed, found.rows_quarantined) == ("quarantined", 0, 2)
    assert land({"EITHER_20240506.csv": text})["EITHER_20240506.csv"].state == "duplicate"

    assert release(FLOW, found.sha256, "ann", "the sender says so", rows=[2]).rows_landed == 1
    assert [r["volume_mcf"] for r in raw_rows("test_flow_computer__gas_hourly", meter("EITHER"))] == [Decimal(2)]


def test_an_extra_column_becomes_a_column_of_raw(land, raw_rows):
    land({"production.csv": daily(well_day("2014-05-02", well="EXTRA") + ",calm", header=DAILY_HEADER + ",Sea State")})
    land({"production.csv": daily(well_day("2014-05-03", well="EXTRA"))})

    rows = raw_rows("test_npd__daily_production", "well_bore_code = 'EXTRA'")
    assert [r["sea_state"] for r in rows] == ["calm", None]


# Stopped, cleared, run twice


def test_a_try_that_was_stopped_after_its_commit_is_finished(land, inbox, raw_rows, monkeypatch):
    from include.land import file_inbox

    with monkeypatch.context() as killed:
        killed.setattr(file_inbox, "archive", lambda *_: (_ for _ in ()).throw(SystemExit(137)))
        with pytest.raises(SystemExit):
            land({"KILL_20240507.csv": flow_day("05/07/2024")})
    assert [p.name for p in inbox.iterdir()] == ["KILL_20240507.csv"]

    again = land({})["KILL_20240507.csv"]
    assert (again.state, again.rows_landed) == ("landed", 24)
    assert list(inbox.iterdir()) == []
    assert len(raw_rows("test_flow_computer__gas_hourly", meter("KILL"))) == 24
    assert [t["state"] for t in transfers(file_name="KILL_20240507.csv")] == ["landed"]


def test_a_cleared_task_says_what_became_of_its_file(land, inbox):
    from include.land.files import land_file

    first = land({"CLEAR_20240508.csv": flow_day("05/08/2024")})["CLEAR_20240508.csv"]

    assert land_file(FLOW, inbox / "CLEAR_20240508.csv") == first
    with pytest.raises(LandingError, match="is gone and no transfer of it is recorded"):
        land_file(FLOW, inbox / "NEVER_20240508.csv")


def test_two_copies_of_one_task_land_a_file_once(inbox, raw_rows):
    from include.land import files

    (inbox / "RACE_20240509.csv").write_text(flow_day("05/09/2024"))
    ordinals, start = [], threading.Barrier(2)

    def copy() -> None:
        from include import catalog
        from include.land import file_commit
        from include.land.file_open import open_file
        from include.land.file_read import read_cells
        from include.land.file_rows import parse

        feed, path = catalog.feed(FLOW), inbox / "RACE_20240509.csv"
        opened = open_file(path)
        from_name, name = files._from_name(feed, path, opened)
        arrived = files.file_inbox.arrived_at(path)
        load = (
            file_commit.Batch(opened.sha256, name, arrived, arrived),
            parse(read_cells(opened, feed), feed, from_name, arrived),
        )
        start.wait()
        ordinals.append(file_commit.commit(feed, [load])[opened.sha256])

    copies = [threading.Thread(target=copy) for _ in range(2)]
    [c.start() for c in copies]
    [c.join() for c in copies]
    assert len(ordinals) == 2 and len(set(ordinals)) == 1
    assert len(raw_rows("test_flow_computer__gas_hourly", meter("RACE"))) == 24


# What waits


def test_files_still_being_written_wait(inbox):
    from include.land.files import discover

    (inbox / "EAGLE_20240510.csv.part").write_text("half")
    (inbox / ".EAGLE_20240511.csv").write_text("half")
    (inbox / "DONE_20240512.csv").write_text("whole")
    with (inbox / "OPEN_20240513.csv").open("w") as writing:
        writing.write("half")
        writing.flush()
        assert [Path(a["path"]).name for a in discover()] == ["DONE_20240512.csv"]
    assert [Path(a["path"]).name for a in discover()] == ["DONE_20240512.csv", "OPEN_20240513.csv"]


def test_a_file_that_grows_between_two_looks_waits(inbox, monkeypatch):
    from include.land import file_inbox
    from include.land.files import discover

    path = inbox / "GROW_20240514.csv"
    path.write_text("half")
    monkeypatch.setattr(file_inbox.time, "sleep", lambda _: path.write_text("half and more"))

    assert discover() == []


def test_the_name_or_the_folder_tells_the_feed(inbox):
    from include.land.files import UNCLAIMED, discover

    for name in (
        "A_20240515.csv",
        "x production.csv",
        "test_npd__daily_production/anything.csv",
        "delivery/Production.xlsx",
        "x.pdf",
    ):
        path = inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        os.utime(path, (1_700_000_000,) * 2)

    assert {Path(a["path"]).name: a["feed_name"] for a in discover()} == {
        "A_20240515.csv": FLOW,
        "x production.csv": DAILY,
        "anything.csv": DAILY,
        "Production.xlsx": DAILY,
        "x.pdf": UNCLAIMED,
    }


def test_a_link_is_not_followed_and_no_file_outside_is_taken(inbox, tmp_path):
    from include.land.files import land_file

    outside = tmp_path / "LINK_20240516.csv"
    outside.write_text(flow_day("05/16/2024"))
    (inbox / outside.name).symlink_to(outside)

    found = land_file(FLOW, inbox / outside.name)
    assert (found.state, "is a link, not a file" in found.reason) == ("quarantined", True)
    assert outside.is_file()
    with pytest.raises(LandingError, match="does not lie in the inbox"):
        land_file(FLOW, inbox / ".." / ".." / outside.name)


# A declaration that changed


def test_a_column_can_be_declared_wider_and_its_held_rows_released(land, raw_rows, monkeypatch):
    from include.land.file_release import release

    def declare_oil(as_type: str) -> None:
        columns = (replace(c, type=as_type) if c.name == "bore_oil_vol" else c for c in catalog.feed(DAILY).columns)
        declare(monkeypatch, DAILY, identifier="test_npd__wider", columns=tuple(columns))

    declare_oil("decimal(38, 18)")
    lines = well_day("2014-05-04", oil="0.5"), well_day("2014-05-05", oil="0.1234567890123456789")
    found = land({"production.csv": daily(*lines)})["production.csv"]
    assert (found.rows_landed, found.rows_quarantined) == (1, 1)

    declare_oil("decimal(38, 20)")
    assert release(DAILY, found.sha256, "ann", "declared with 20 decimals").rows_landed == 1
    oil = [str(r["bore_oil_vol"]) for r in raw_rows("test_npd__wider")]
    assert oil == ["0.50000000000000000000", "0.12345678901234567890"]

    declare_oil("decimal(38, 18)")
    with pytest.raises(DeclarationError, match="not every figure has a place in it"):
        land({"production.csv": daily(well_day("2014-05-06"))})


def test_a_wrong_declaration_holds_back_its_own_feed_alone(land, inbox, monkeypatch):
    declare(monkeypatch, FLOW, options={"encoding": "no-such-codec"})

    with pytest.raises(LandingError, match="unknown encoding 'no-such-codec'"):
        land({"A_20240520.csv": flow_day("05/20/2024"), "production.csv": daily(well_day("2014-05-09"))})
    assert [path.name for path in inbox.iterdir()] == ["A_20240520.csv"]
