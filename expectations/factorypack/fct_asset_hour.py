"""Hours of assets: each hour of each shift, values in their bounds, evidence that was measured. A row an hour."""

import great_expectations as gx

KEY = ("station_id", "hour_started_at")

ROWS = """
with of_shift as (
    select
        m.shift_id,
        m.station_id,
        sum(seconds_between(m.hour_started_at, m.hour_ended_at)) as hours_s,
        sum(case when m.is_evidence then 1 else 0 end) as evidence_hours,
        sum(case when m.is_evidence and m.vibration_mm_per_s_mean is null then 1 else 0 end) as unmeasured_hours
    from fct_asset_hour as m
    inner join this_close as c on m.calendar = c.calendar
    group by m.shift_id, m.station_id
)

select
    m.station_id,
    m.hour_started_at,
    m.regime,
    cast(m.running_share as double) as running_share,
    cast(m.steady_share - m.running_share as double) as steady_beyond_running,
    cast(m.temperature_degc_mean as double) as temperature_degc,
    cast(m.vibration_mm_per_s_mean as double) as vibration_mm_per_s,
    cast(m.load_pct_mean as double) as load_pct,
    greatest_of(array[
        cast(m.temperature_degc_min - m.temperature_degc_mean as double),
        cast(m.temperature_degc_mean - m.temperature_degc_max as double),
        cast(m.vibration_mm_per_s_min - m.vibration_mm_per_s_mean as double),
        cast(m.vibration_mm_per_s_mean - m.vibration_mm_per_s_max as double),
        cast(m.load_pct_min - m.load_pct_mean as double),
        cast(m.load_pct_mean - m.load_pct_max as double)
    ]) as mean_beyond_bounds,
    cast(m.hours_since_renewal as double) as hours_since_renewal,
    h.hours * 3600 - s.hours_s as seconds_missing,
    ratio(s.unmeasured_hours, s.evidence_hours) as unmeasured_share
from fct_asset_hour as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
inner join of_shift as s on m.shift_id = s.shift_id and m.station_id = s.station_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_asset_hour",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_missing",
            max_value=0.0005,
            severity="critical",
            notes="The hours of a shift cover it: one that is missing hides what a drive did. A split shift has more, "
            "its pause.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="running_share",
            min_value=0,
            max_value=1,
            severity="critical",
            notes="A share of an hour; more counts time twice.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="steady_beyond_running",
            max_value=0,
            severity="critical",
            notes="Steady production is production: more of it lets standstill pass for evidence.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="mean_beyond_bounds",
            max_value=1e-06,
            severity="critical",
            notes="A mean lies between least and greatest value; a rounding of the sixth decimal is allowed.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_since_renewal",
            min_value=0,
            severity="critical",
            notes="A renewal that is still to come can start no baseline.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="regime",
            value_set=[
                "steady",
                "warm_up",
                "standstill",
                "setup",
                "no_data",
                "product_change",
                "unsteady_load",
                "renewal",
            ],
            severity="critical",
            notes="The words that scoring knows; another one would be neither evidence nor a reason.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="temperature_degc",
            min_value=-40,
            max_value=150,
            severity="warning",
            notes="Outside of it a bearing is not hot but its sensor broken, or the unit is wrong.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="vibration_mm_per_s",
            min_value=0,
            max_value=50,
            severity="warning",
            notes="Zone D of ISO 20816-3, damage, begins at 11 mm/s at the latest; 50 is the end of the range.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="load_pct",
            min_value=0,
            max_value=200,
            severity="warning",
            notes="Of rated; the end of the sensors' range.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unmeasured_share",
            max_value=0.5,
            severity="warning",
            notes="A drive whose vibration is not measured in most steady hours of a shift is not watched, whatever "
            "the alerts say.",
        ),
    ],
)
