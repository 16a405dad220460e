"""Each kind of bad file that partners send, and the reason that quarantine gives for it. No platform is needed."""

import gzip
import io
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from include.catalog import feed, feeds
from include.land.file_open import BadFile, Opened, open_file
from include.land.file_read import read_cells
from include.land.file_rows import Parsed, parse
from tests.land_files.samples import (
    DAILY_HEADER,
    FLOW_HEADER,
    daily,
    flow,
    flow_day,
    hour,
    well_day,
)

ARRIVED = datetime(2024, 6, 1, 12, tzinfo=UTC)
FLOW, DAILY = "flow_computer.gas_hourly", "npd.daily_production"


def bytes_of(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


@pytest.fixture
def read(tmp_path):
    """`read(content, name=…)`: the rows of a partner file, as landing reads it."""

    def parsed(content: str | bytes, name: str = "EAGLE-P1-GS_20240507.csv", max_bytes: int | None = None) -> Parsed:
        path = tmp_path / name
        path.write_bytes(bytes_of(content))
        declared = feed(DAILY if "production" in name else FLOW)
        opened = open_file(path, max_bytes)
        from_name = declared.matches(opened.name).groupdict()
        return parse(read_cells(opened, declared), declared, from_name, ARRIVED, feeds())

    return parsed


@pytest.fixture
def reason(read):
    """`reason(content, …)`: why a file goes to quarantine as a whole."""

    def why(content: str | bytes, *args, **options) -> str:
        with pytest.raises(BadFile) as bad:
            read(content, *args, **options)
        return str(bad.value)

    return why


def test_an_empty_file(reason):
    assert reason("") == "The file is empty (0 bytes); ask the sender for it again"
    assert reason("\r\n \n").startswith("The file is empty")


def test_a_heading_without_rows(reason):
    assert reason(FLOW_HEADER + "\n") == "The file holds a heading and no rows; ask the sender for the data"


def test_a_file_cut_in_mid_row(reason):
    whole = flow_day("05/07/2024")

    assert "cut short in mid-row: data row 12" in reason(whole[: whole.index("11:00-12:00") + 20])
    assert "has 3 of 9 fields and no line end" in reason(whole[: whole.index("11:00-12:00") + 20])


def test_a_file_cut_in_its_last_field_or_inside_quotes(reason):
    cut = daily(well_day("2014-04-07"), well_day("2014-04-08"))[:-2]

    assert "ends with 'O' where others have 'OP'" in reason(cut, "production.csv")
    assert "ends inside a quoted field" in reason(flow(hour("05/07/2024", 0) + '"LOW'))


def test_a_missing_line_end_alone_is_no_cut(read):
    assert read(flow_day("05/07/2024").rstrip("\n")).rows.num_rows == 24


def test_another_delimiter(reason):
    why = reason(flow_day("05/07/2024").replace(",", ";"))

    assert "separated by ';', the feed declares ','" in why
    assert "declare `delimiter: ';'`" in why


def test_another_encoding_is_named_and_never_turned_into_odd_letters(read, reason):
    text = daily(well_day("2014-04-07"))

    assert read(text, "production.csv").rows["npd_facility_name"][0].as_py() == "MÆRSK INSPIRER"
    why = reason(text.encode("latin-1"), "production.csv")
    assert "Byte 0xc6 in line 2 is not utf-8" in why
    assert "MÆRSK INSPIRER" in why
    assert "UTF-16" in reason(text.encode("utf-16"), "production.csv")
    assert "NUL bytes" in reason(text + "\0", "production.csv")


def test_a_byte_order_mark_is_taken(read):
    assert read(b"\xef\xbb\xbf" + flow_day("05/07/2024").encode()).rows.num_rows == 24


def test_a_renamed_column(reason):
    why = reason(
        daily(well_day("2014-04-07"), header=DAILY_HEADER.replace("BORE_OIL_VOL", "BORE_OIL_VOLUME")), "production.csv"
    )

    assert "The heading lacks BORE_OIL_VOL." in why
    assert "Perhaps renamed: BORE_OIL_VOL -> BORE_OIL_VOLUME" in why


def test_an_extra_column_is_kept_as_text_and_noted(read):
    found = read(daily(well_day("2014-04-07") + ",n/a", header=DAILY_HEADER + ",Remark 1"), "production.csv")

    assert found.rows["remark_1"].to_pylist() == ["n/a"]
    assert found.notes == ["column 'Remark 1' is not declared and was kept as text in remark_1"]


def test_columns_may_stand_in_another_order(read):
    names, values = DAILY_HEADER.split(","), well_day("2014-04-07").split(",")
    found = read(daily(",".join(values[::-1]), header=",".join(names[::-1])), "production.csv")

    assert str(found.rows["bore_oil_vol"][0]) == "100.250000000000000000"


def test_a_column_named_twice(reason):
    header = DAILY_HEADER.replace("BORE_GAS_VOL", "BORE_OIL_VOL")

    assert "['BORE_OIL_VOL'] more than once" in reason(daily(well_day("2014-04-07"), header=header), "production.csv")


def test_text_in_a_number_holds_back_that_row_alone(read):
    found = read(flow(hour("05/07/2024", 0), hour("05/07/2024", 1, "n/a"), hour("05/07/2024", 2)))

    assert found.rows["_seq"].to_pylist() == [1, 3]
    assert [(r.number, r.reason) for r in found.rejected] == [(2, "volume_mcf: 'n/a' is not a number")]
    assert found.rejected[0].fields["volume_mcf"] == "n/a"


def test_a_decimal_comma_is_named(read):
    found = read(flow(hour("05/07/2024", 0), hour("05/07/2024", 1, '"10,5"')))

    assert "(the feed declares '.' as decimal sign)" in found.rejected[0].reason


def test_a_row_with_too_many_fields(read):
    found = read(flow(hour("05/07/2024", 0), hour("05/07/2024", 1) + ",surplus"))

    assert [(r.number, r.reason) for r in found.rejected] == [(2, "has 10 fields, the heading 9")]


def test_a_file_of_which_no_row_can_be_read(reason):
    assert "None of the 1 rows can be read. First: row 1: DateTime: 'yesterday'" in reason(
        flow("yesterday,1,2,3,4,5,6,7,")
    )


def test_a_row_without_a_key(read):
    found = read(daily(well_day("2014-04-07"), well_day("2014-04-07", well=""), well_day("")), "production.csv")

    assert [r.reason for r in found.rejected] == ["key column WELL_BORE_CODE is empty", "key column DATEPRD is empty"]


def test_an_optional_part_of_a_key_may_be_empty_and_tells_rows_apart():
    """Two orders begin in one minute, and a count names none; the same order twice with other units is held back."""
    declared = feed("plant_files.machine_counts")
    head = "station_id,from_at,to_at,good_units,order_id\n"
    row = "F1,2024-05-07 06:00:00,2024-05-07 07:00:00"
    lines = [f"{row},10,A", f"{row},20,B", f"{row},30,", f"{row},40,C", f"{row},41,C"]
    opened = Opened("machine_counts_f.csv", (head + "\n".join(lines) + "\n").encode(), "", False)

    found = parse(read_cells(opened, declared), declared, {}, ARRIVED, feeds())

    assert sorted(found.rows["good_units"].to_pylist()) == [10, 20, 30]
    assert [held.number for held in found.rejected] == [4, 5]


def test_day_and_month_the_other_way_round(reason):
    assert "Day and month stand the other way round: DateTime '25/07/2023 00:00-01:00' in row 1" in reason(
        flow_day("25/07/2023"), "EAGLE-P1-GS_20230725.csv"
    )


def test_day_and_month_the_other_way_round_where_both_are_months(reason):
    why = reason(flow_day("07/05/2024"))  # 7 May as the name says, read as 5 July

    assert "the other way round" in why
    assert "the feed declares %m/%d/%Y" in why


def test_a_file_of_another_day_than_its_name_says(reason):
    assert "The rows are of 2024-05-08, the file's name says 2024-05-06" in reason(
        flow_day("05/08/2024"), "EAGLE-P1-GS_20240506.csv"
    )


def test_a_date_in_the_future(read):
    found = read(daily(well_day("2014-04-07"), well_day("2041-04-08")), "production.csv")

    assert found.rejected[0].reason == "DATEPRD: '2041-04-08' lies in the future of the file's arrival (2024-06-01)"
    assert found.rows["dateprd"].to_pylist() == [date(2014, 4, 7)]


def test_a_file_of_another_feed(reason):
    assert reason(flow_day("05/07/2024"), "production.csv") == (
        "This is a file of flow_computer.gas_hourly, not of npd.daily_production; "
        "move it to inbox/flow_computer__gas_hourly/"
    )


def test_the_monthly_sheet_is_no_daily_export(reason, real_files):
    why = reason((real_files / "volve_monthly_production.csv").read_bytes(), "volve_monthly_production.csv")

    assert why.startswith("This is no file of npd.daily_production: its heading has 0 of the 24 declared columns.")
    assert "It has instead: Wellbore name, NPDCode, Year, Month, On Stream, Oil, Gas, Water" in why


def test_more_decimals_than_the_column_keeps_are_never_rounded(read):
    found = read(
        daily(well_day("2014-04-07", oil="0.123456789012345678"), well_day("2014-04-08", oil="0.1234567890123456789")),
        "production.csv",
    )

    assert str(found.rows["bore_oil_vol"][0]) == "0.123456789012345678"
    assert "has 19 decimals, the column keeps 18" in found.rejected[0].reason


@pytest.mark.parametrize("oil", ["123456789012345678901", "1e40", "nan", "inf", "0x10", "--1"])
def test_what_is_no_number_of_the_column(read, oil):
    found = read(daily(well_day("2014-04-07"), well_day("2014-04-08", oil=oil)), "production.csv")

    assert found.rejected[0].reason.startswith(f"BORE_OIL_VOL: '{oil}' is ")


def test_strange_values_stay(read):
    found = read(daily(well_day("2014-04-07", oil="-12.5"), well_day("2014-04-08", oil="9e-5")), "production.csv")

    assert [str(v) for v in found.rows["bore_oil_vol"]] == ["-12.500000000000000000", "0.000090000000000000"]


# Containers and names


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_gzip_and_zip_are_taken(read):
    day = flow_day("05/07/2024").encode()

    assert read(gzip.compress(day), "EAGLE-P1-GS_20240507.csv.gz").rows.num_rows == 24
    assert read(zipped({"EAGLE-P1-GS_20240507.csv": day}), "today.zip").rows.num_rows == 24


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"EAGLE-P1-GS_20240507.csv": content})])
def test_a_bomb_costs_no_more_than_the_limit(reason, pack):
    bomb = pack(b"0" * 50_000_000)

    assert len(bomb) < 60_000
    assert "is larger than 1 MB unpacked" in reason(bomb, "EAGLE-P1-GS_20240507.csv.zip", max_bytes=1024 * 1024)


@pytest.mark.parametrize("member", ["../../etc/cron.d/x.csv", "/etc/x.csv", "..\\..\\x.csv", "C:\\x.csv"])
def test_a_zip_whose_member_leads_out_of_its_folder(reason, member):
    assert "a path that leads out of its folder" in reason(zipped({member: b"x"}), "today.zip")


@pytest.mark.parametrize(
    "name", ["..%2f..%2fproduction.csv", "..\\production.csv", "production\n.csv", "C:production.csv"]
)
def test_a_file_name_that_is_a_path(reason, name):
    assert "is unsafe" in reason(daily(well_day("2014-04-07")), name)


def test_a_zip_of_several_files_and_damaged_archives(reason):
    assert "holds 2 files" in reason(zipped({"a.csv": b"1", "b.csv": b"2"}), "today.zip")
    assert "archive within an archive" in reason(zipped({"a.zip": zipped({"a.csv": b"1"})}), "today.zip")
    assert "damaged zip" in reason(zipped({"a.csv": b"1" * 999})[:60], "today.zip")
    assert "is cut short" in reason(gzip.compress(flow_day("05/07/2024").encode())[:-60], "EAGLE-P1-GS_20240507.csv.gz")
    assert "named as an archive but is none" in reason("text", "EAGLE-P1-GS_20240507.csv.gz")


# Workbooks


def workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    import openpyxl

    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(out)
    return out.getvalue()


def daily_sheet(oil: float = 0.07228) -> list[list[object]]:
    row: list[object] = well_day("2014-04-07").split(",")
    row[0], row[8] = datetime(2014, 4, 7), 24
    row[18] = oil
    row[19:21] = [0.5, -0.25]
    return [DAILY_HEADER.split(","), row]


def test_the_daily_sheet_is_found_among_others(read):
    found = read(workbook({"Notes": [["read me"]], "Daily": daily_sheet()}), "production.xlsx")

    assert found.rows["dateprd"].to_pylist() == [date(2014, 4, 7)]
    assert str(found.rows["bore_oil_vol"][0]) == "0.072280000000000000"  # stored as 7.2279999999999997E-2
    assert found.notes == ["sheet 'Daily' taken, left out: ['Notes']"]


def test_a_workbook_without_the_sheet(reason):
    assert "has no sheet 'Daily Production Data'; it has ['Notes']" in reason(
        workbook({"Notes": [["x"]]}), "production.xlsx"
    )


def test_a_workbook_with_a_macro(reason):
    content = io.BytesIO(workbook({"Daily Production Data": daily_sheet()}))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"\0")

    assert "carries a macro (xl/vbaProject.bin); nothing was run" in reason(content.getvalue(), "production.xlsx")


def test_a_damaged_workbook(reason):
    assert "damaged zip or workbook" in reason(
        workbook({"Daily Production Data": daily_sheet()})[:3000], "production.xlsx"
    )


def test_a_workbook_for_a_feed_that_takes_none(reason, tmp_path):
    path = Path(tmp_path / "EAGLE-P1-GS_20240507.csv")
    path.write_bytes(workbook({"Daily": daily_sheet()}))

    with pytest.raises(BadFile, match="is a workbook; flow_computer.gas_hourly takes csv"):
        read_cells(open_file(path), feed(FLOW))


# The same export in both forms


@pytest.mark.platform  # needs none, but reads nine years twice
def test_the_csv_and_the_workbook_hold_the_same_figures(real_files, read):
    csv = read((real_files / "volve_daily_production.csv").read_bytes(), "volve_daily_production.csv")
    book = read((real_files / "volve_production_data.xlsx").read_bytes(), "volve_production_data.xlsx")

    assert csv.rows.num_rows == 15_634
    assert csv.rejected == book.rejected == []
    assert csv.rows.equals(book.rows)
