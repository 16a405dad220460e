"""What gates believe and what they stop, on an operator small enough to check by eye."""

from datetime import date, timedelta

import pytest

from tests.gate.figures import FROZEN_AT, LAST_DAY, META
from tests.gate.operator import a_close, marts

pytestmark = pytest.mark.platform  # none is needed, but each judges whole layers: half a minute in all

TODAY = f"production_date = date '{LAST_DAY}'"


def named(results) -> set[str]:
    """Results as `table: column`."""
    return {f"{r.table}: {r.column}" for r in results}


def found(results, table: str, column: str | None):
    (result,) = [r for r in results if (r.table, r.column) == (table, column)]
    return result


@pytest.mark.parametrize("layer", ["stage", "mart"])
def test_a_good_day_passes(operator, judge, layer):
    report = judge(operator, layer)

    assert report.success and named(report.warnings) == set() and len(report.results) > 20


def test_a_good_day_passes_landing_though_nothing_was_reconciled_yet(operator, judge):
    report = judge(operator, "landing")

    assert report.success and named(report.warnings) == {"landing_reconciliation: is_equal"}


def test_a_unit_off_by_1000_is_critical_and_names_the_well(operator, judge):
    operator.workspace(
        f"update stg_fieldops__daily_readings set oil_reported = oil_reported * 1000 where well_id = 'W07' and {TODAY}"
    )

    report = judge(operator, "stage")

    well = found(report.failures, "stg_fieldops__daily_readings", "oil_to_usual")
    assert (well.observed, well.bound, well.failing_rows) == ("1 of 12 rows: 1000", "must be at most 20", 1)
    assert well.sample_keys == ({"well_id": "W07", "production_date": "2026-11-23", "oil_to_usual": "1000"},)
    # 7,800 bbl are sold; W07's 700 became 700,000, so the wells report 707,100: a factor of 0.011.
    assert found(report.failures, "stg_fieldops__meter_volumes", "factor").sample_keys[0]["factor"] == "0.011"


def test_a_unit_a_thousand_times_too_large_is_critical_too(operator, judge):
    operator.workspace(
        f"update stg_fieldops__daily_readings set gas_reported = gas_reported / 1000 where well_id = 'W02' and {TODAY}"
    )

    report = judge(operator, "stage", "stg_fieldops__daily_readings")

    assert named(report.failures) == {"stg_fieldops__daily_readings: full_day_gas_to_usual"}


def test_negative_water_is_the_operators_own_offset_and_only_warns(operator, judge):
    change = f"set {{}} = -14.19 where well_id = 'W03' and {TODAY}"
    operator.workspace(
        "update stg_fieldops__daily_readings " + change.format("water_reported"), *marts("permian", LAST_DAY, LAST_DAY)
    )

    staged, built = judge(operator, "stage"), judge(operator, "mart")

    assert staged.success and named(staged.warnings) == {"stg_fieldops__daily_readings: water_reported"}
    assert built.success and named(built.warnings) == {"fct_well_production_daily: water_sm3"}


def test_negative_oil_stops_the_close(operator, judge):
    operator.workspace(f"update stg_fieldops__daily_readings set oil_reported = -1 where well_id = 'W03' and {TODAY}")

    assert "stg_fieldops__daily_readings: oil_reported" in named(judge(operator, "stage").failures)


def test_25_hours_on_are_right_on_the_day_the_clocks_go_back(operator, judge):
    autumn = date(2026, 10, 31)  # its contract day ends on 1 November 07:00, after the change
    operator.workspace(
        f"""update stg_fieldops__daily_readings set hours_on = 25 where production_date in (date '{autumn}',
            date '{LAST_DAY}')"""
    )

    on_change = judge(operator, "stage", "stg_fieldops__daily_readings", close=_same_files(operator, autumn, autumn))
    on_usual_day = judge(operator, "stage", "stg_fieldops__daily_readings")

    assert named(on_change.warnings) == set()
    assert named(on_usual_day.warnings) == {"stg_fieldops__daily_readings: hours_over_day"}


def test_one_missing_well_warns_and_is_named(operator, judge):
    operator.lakehouse(f"delete from raw.fieldops__daily_readings where well_id = 'W05' and {TODAY}")

    report = judge(operator, "landing")

    assert report.success
    missing = found(report.warnings, "landing_readings", "readings")
    assert missing.sample_keys == ({"well_id": "W05", "production_date": "2026-11-23", "readings": "0"},)


def test_more_than_a_tenth_of_the_wells_missing_stops_the_close(operator, judge):
    operator.lakehouse(f"delete from raw.fieldops__daily_readings where well_id in ('W05', 'W06', 'W07') and {TODAY}")

    report = judge(operator, "landing", "landing_completeness")

    assert named(report.failures) == {"landing_completeness: percent_missing_beyond_one_well"}
    assert report.failures[0].sample_keys[0]["wells_missing"] == "3"


def test_a_deleted_reading_is_missing_and_a_row_after_the_cut_off_is_not_there_yet(operator, judge):
    meta = META.replace("'r' as _op", "'{}' as _op").replace("100 as _commit_lsn", "{} as _commit_lsn")
    one = f"from raw.fieldops__daily_readings where well_id = 'W01' and {TODAY}"
    columns = "reading_id, well_id, production_date, oil_volume, gas_volume"
    operator.lakehouse(
        "update raw.fieldops__daily_readings set _commit_lsn = 50",
        f"insert into raw.fieldops__daily_readings select {columns}, {meta.format('d', 60)} {one}",
        f"insert into raw.fieldops__daily_readings select {columns}, {meta.format('c', 101)} {one} and _op = 'r'",
    )

    assert named(judge(operator, "landing", "landing_readings").warnings) == {"landing_readings: readings"}


def test_no_row_at_all_is_critical(operator, judge):
    report = judge(
        operator, "landing", "landing_window", close=_same_files(operator, date(2030, 1, 1), date(2030, 1, 31))
    )

    assert named(report.failures) == {"landing_window: rows_in_window"}


def test_a_window_that_only_a_partner_file_covers_can_be_closed(operator, judge):
    day = date(2010, 5, 7)
    operator.lakehouse(
        f"create table raw.npd__daily_production as select 'W' as well_bore_code, date '{day}' as dateprd, {META}"
    )
    close = _same_files(operator, day, day, calendar="north_sea")

    report = judge(operator, "landing", "landing_window", close=close)

    assert report.success and report.warnings == ()


def test_a_source_that_stands_still_is_critical(operator, judge):
    operator.lakehouse(
        f"update raw.fieldops__heartbeat set _source_at = timestamptz '{FROZEN_AT - timedelta(hours=4)}'"
    )

    report = judge(operator, "landing", "landing_freshness")

    # the day ended at 13:00 UTC, the close froze at 15:00; the source was last heard at 11:00
    assert named(report.failures) == {
        "landing_freshness: minutes_over_limit",
        "landing_freshness: minutes_missing_of_close",
    }
    assert report.failures[0].sample_keys[0]["minutes_behind"] == "240"


def test_a_table_that_differs_from_its_source_is_critical(operator, judge):
    operator.lakehouse(
        f"""insert into ops.reconciliations by name
            select timestamptz '{FROZEN_AT}' as recorded_at, 'fieldops' as source, 'wells' as table_name,
            'rows' as column_name,
                '12' as source_value, '11' as raw_value, false as is_equal"""
    )

    (failure,) = judge(operator, "landing", "landing_reconciliation").failures

    assert failure.sample_keys[0]["table_name"] == "wells" and failure.sample_keys[0]["raw_value"] == "11"


def test_a_day_without_any_flow_computer_file_stops_and_a_short_one_warns(operator, judge):
    last_day = "hour_started_at_utc >= timestamptz '2026-11-23 13:00:00+00'"
    operator.lakehouse(f"delete from raw.flow_computer__gas_hourly where {last_day} and hour(hour_started_at_utc) < 13")
    assert named(judge(operator, "landing", "landing_files").warnings) == {"landing_files: hours_missing"}

    operator.lakehouse(f"delete from raw.flow_computer__gas_hourly where {last_day}")
    assert named(judge(operator, "landing", "landing_files").failures) == {"landing_files: hours_of_all_meters"}


def test_feeds_that_never_sent_a_file_expect_nothing(operator, judge):
    operator.lakehouse("drop table raw.flow_computer__gas_hourly")

    assert judge(operator, "landing").success


def test_hours_that_do_not_add_up_to_the_meters_day_are_critical(operator, judge):
    operator.workspace("update stg_fieldops__meter_volumes set volume = volume * 1.06 where meter_id = 'EAG-M1'")

    assert named(judge(operator, "stage", "stg_flow_computer__gas_hourly").failures) == {
        "stg_flow_computer__gas_hourly: percent_off_day"
    }


def test_a_field_that_is_not_the_sum_of_its_wells_is_critical(operator, judge):
    operator.workspace("update fct_field_production_daily set gas_sm3 = gas_sm3 + 0.000001")

    report = judge(operator, "mart", "fct_field_production_daily")

    assert named(report.failures) == {"fct_field_production_daily: gas_beyond_wells_sm3"}


def test_a_whole_field_that_doubles_overnight_is_critical(operator, judge):
    first = LAST_DAY - timedelta(days=9)
    operator.workspace(
        f"update stg_fieldops__daily_readings set oil_reported = oil_reported * 6.29 where {TODAY}",
        *marts("permian", first, LAST_DAY),
    )

    report = judge(operator, "mart", "fct_field_production_daily", close=_same_files(operator, first, LAST_DAY))

    failure = found(report.failures, "fct_field_production_daily", "hourly_oil_to_usual_of_many_wells")
    assert failure.failing_rows == 1 and failure.sample_keys[0]["production_date"] == str(LAST_DAY)


def test_a_well_that_jumps_against_its_published_days_is_critical_whatever_its_source(operator, judge):
    first = LAST_DAY - timedelta(days=9)
    operator.workspace(*marts("permian", first, LAST_DAY))
    operator.workspace(
        f"update fct_well_production_daily set oil_sm3 = oil_sm3 * 1000 where well_id = 'W04' and {TODAY}"
    )

    report = judge(operator, "mart", "fct_well_production_daily", close=_same_files(operator, first, LAST_DAY))

    jump = found(report.failures, "fct_well_production_daily", "oil_to_usual")
    assert jump.sample_keys == ({"well_id": "W04", "production_date": "2026-11-23", "oil_to_usual": "1000"},)


def test_hours_and_volumes_that_scada_does_not_see_warn_only_where_it_saw_the_day(operator, judge):
    operator.workspace(
        f"update fct_well_production_daily set scada_hours_on = 22.9 where well_id = 'W01' and {TODAY}",
        f"update fct_well_production_daily set scada_hours_on = 23.1 where well_id = 'W02' and {TODAY}",
        f"update fct_well_production_daily set scada_oil_sm3 = oil_sm3 * 0.89 where well_id = 'W03' and {TODAY}",
        f"update fct_well_production_daily set scada_gas_sm3 = gas_sm3 * 0.91 where well_id = 'W04' and {TODAY}",
        f"""update fct_well_production_daily set scada_hours_on = 3, scada_hours_known = 22, scada_oil_sm3 = 1,
            scada_oil_hours_known = 22 where well_id = 'W05' and {TODAY}""",
        f"""update fct_well_production_daily set scada_hours_on = null, scada_hours_known = null, scada_oil_sm3 = null,
            scada_oil_hours_known = null, scada_gas_sm3 = null, scada_gas_hours_known = null
            where well_id = 'W06' and {TODAY}""",
    )

    report = judge(operator, "mart", "fct_well_production_daily")

    assert report.success and named(report.warnings) == {
        "fct_well_production_daily: hours_off_scada",
        "fct_well_production_daily: percent_oil_off_scada",
    }
    hours, oil = (
        found(report.warnings, "fct_well_production_daily", column)
        for column in ("hours_off_scada", "percent_oil_off_scada")
    )
    assert [k["well_id"] for k in hours.sample_keys] == ["W01"]
    assert [k["well_id"] for k in oil.sample_keys] == ["W03"]


def test_a_well_that_runs_by_scada_and_is_not_reported_warns(operator, judge):
    operator.workspace(f"delete from fct_well_production_daily where well_id = 'W09' and {TODAY}")

    report = judge(operator, "mart", "fct_well_scada_hourly")

    assert report.success and named(report.warnings) == {"fct_well_scada_hourly: runs_unreported"}
    assert report.warnings[0].sample_keys[0]["well_id"] == "W09"


def test_scada_hours_that_contradict_themselves_are_critical(operator, judge):
    operator.workspace(
        "update fct_well_scada_hourly set uptime_s = 3601 where well_id = 'W01'",
        "update fct_well_scada_hourly set oil_rate_covered_s = 3600.001 where well_id = 'W02'",
        "insert into fct_well_scada_hourly select * from fct_well_scada_hourly where well_id = 'W03' limit 1",
    )

    assert named(judge(operator, "mart", "fct_well_scada_hourly").failures) == {
        "fct_well_scada_hourly: uptime_beyond_known_s",
        "fct_well_scada_hourly: known_beyond_hour_s",
        "fct_well_scada_hourly: hours_twice",
    }


def test_a_source_that_was_silent_or_mostly_bad_warns_and_one_never_heard_does_not(operator, judge):
    operator.workspace("delete from int_tag_hours where hour(started_at) in (3, 4)")
    assert named(judge(operator, "stage", "int_tag_hours").warnings) == {"int_tag_hours: hours_silent"}

    operator.workspace("insert into energypack_tags values ('W01.runs', 'W01', 'is_running', 'field_rtu')")
    assert named(judge(operator, "stage", "int_tag_hours").warnings) == {
        "int_tag_hours: hours_silent",
        "int_tag_hours: tags_left_out",
    }

    operator.workspace("delete from int_tag_hours")
    silent = judge(operator, "stage", "int_tag_hours").warnings
    assert silent[0].sample_keys[0]["tags_read"] == "0"

    operator.workspace("delete from stg_ot__readings")
    assert judge(operator, "stage", "int_tag_hours").warnings == ()


def test_a_well_known_only_from_a_file_warns(operator, judge):
    operator.workspace("update dim_well set origin = 'npd' where well_id = 'W12'")

    report = judge(operator, "mart", "dim_well")

    assert report.success and named(report.warnings) == {"dim_well: origin"}


def test_a_column_that_is_gone_fails_its_suite_and_says_which(operator, judge):
    operator.workspace(
        "alter table fct_well_production_daily drop column gas_sm3", "alter table dim_facility drop column origin"
    )

    report = judge(operator, "mart")

    rows = found(report.failures, "fct_well_production_daily", None)
    assert rows.expectation == "rows_can_be_read" and "gas_sm3" in rows.observed
    assert "origin" in found(report.results, "dim_facility", "origin").observed


def test_nine_years_of_one_partner_file_pass_with_warnings_only(operator, judge):
    first, last = date(2007, 9, 1), date(2016, 12, 1)
    close = _same_files(operator, first, last, calendar="north_sea")
    rows = f"""
        select format('NO 15/9-F-{{}}', n) as well_id, d::date as production_date, 100 * n as oil_sm3,
        1000 * n as gas_sm3,
            case when n = 1 and d in (date '2008-04-23', date '2009-03-03', date '2012-08-13',
            date '2012-08-14') then -14.19 else 5 end as water_sm3,
            null as water_injected_sm3, 23 as hours_on, 'OP' as well_type, 'production' as flow_kind
        from range(1, 8) as w(n) cross join range(date '{first}', date '{last}' + 1, interval 1 day) as r(d)"""
    operator.lakehouse(
        f"""create table raw.npd__daily_production as select well_id as well_bore_code, production_date as dateprd,
            {META} from ({rows})"""
    )
    operator.workspace(f"insert into stg_npd__daily_production by name {rows}")

    landed, staged = judge(operator, "landing", close=close), judge(operator, "stage", close=close)

    assert landed.success and staged.success
    water = found(staged.warnings, "stg_npd__daily_production", "water_sm3")
    assert (water.failing_rows, len(water.sample_keys)) == (4, 4)
    assert named(staged.warnings) == {"stg_npd__daily_production: water_sm3"}


def _same_files(operator, first: date, last: date, calendar: str = "permian"):
    """Another window over the files of `operator`; the run id, and so the workspace, stays."""
    return a_close(first, last, calendar, run_id=operator.close.run_id)
