"""What a believable set of SCADA hours looks like: each well's hours, taken together per contract day.

SCADA stands beside the record and never corrects it, so what looks wrong is told; only rows that contradict
themselves stop the close.
"""

import great_expectations as gx

KEY = ("well_id", "production_date", "hours_present")

ROWS = """
with by_day as (
    select
        m.well_id,
        m.production_date,
        cast(count(*) as integer) as hours_present,
        cast(count(*) - count(distinct m.started_at) as integer) as hours_twice,
        max(
            greatest_of(array[
                m.tubing_head_pressure_covered_s, m.casing_pressure_covered_s, m.tubing_head_temperature_covered_s,
                m.choke_opening_covered_s, m.oil_rate_covered_s, m.gas_rate_covered_s, m.water_rate_covered_s,
                m.water_injection_rate_covered_s, m.uptime_covered_s
            ]) - seconds_between(m.started_at, m.ended_at)
        ) as known_beyond_hour_s,
        cast(max(m.uptime_s - m.uptime_covered_s) as double) as uptime_beyond_known_s,
        cast(sum(m.uptime_s) as double) as uptime_s,
        min(least_of(array[m.oil_rate_sm3_per_d, m.gas_rate_sm3_per_d, m.water_injection_rate_sm3_per_d]))
            as least_rate_sm3_per_d,
        max(m.oil_rate_sm3_per_d) as most_oil_rate_sm3_per_d,
        max(m.gas_rate_sm3_per_d) as most_gas_rate_sm3_per_d,
        min(least_of(array[m.tubing_head_pressure_kpa, m.casing_pressure_kpa])) as least_pressure_kpa,
        max(greatest_of(array[m.tubing_head_pressure_kpa, m.casing_pressure_kpa])) as most_pressure_kpa,
        min(m.tubing_head_temperature_degc) as least_temperature_degc,
        max(m.tubing_head_temperature_degc) as most_temperature_degc,
        min(m.choke_opening_ratio) as least_choke_opening_ratio,
        max(m.choke_opening_ratio) as most_choke_opening_ratio
    from fct_well_scada_hourly as m
    inner join this_close as c on m.calendar = c.calendar and m.production_date between c.from_date and c.to_date
    group by m.well_id, m.production_date
)

select
    d.*,
    case when d.uptime_s >= 3600 and r.well_id is null then 1 else 0 end as runs_unreported
from by_day as d
left join fct_well_production_daily as r on d.well_id = r.well_id and d.production_date = r.production_date
"""


def _between(column: str, why: str, low: float | None = None, high: float | None = None):
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, severity="warning", notes=why
    )


SUITE = gx.ExpectationSuite(
    name="fct_well_scada_hourly",
    expectations=[
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(column=column, max_value=0, severity="critical", notes=why)
            for column, why in (
                ("hours_twice", "An hour that counts twice overstates the well's day."),
                ("known_beyond_hour_s", "No more of an hour can be known than it has."),
                ("uptime_beyond_known_s", "A well cannot have run for longer than it is known whether it ran."),
            )
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="runs_unreported",
            value_set=[0],
            severity="warning",
            notes="By SCADA the well ran for an hour or more, yet nobody reported its day: the reading is late, or the "
            "well is not in the record at all.",
        ),
        _between("least_rate_sm3_per_d", "A well does not flow back: the meter's zero has drifted.", low=-1),
        _between(
            "most_oil_rate_sm3_per_d",
            "100,000 bbl a day: more than any well of the North Sea or the Permian ever made; the tag's unit is wrong.",
            high=16_000,
        ),
        _between(
            "most_gas_rate_sm3_per_d",
            "About 420 MMcf a day: beyond the best gas wells offshore; the tag's unit is wrong.",
            high=12_000_000,
        ),
        _between("least_pressure_kpa", "Below a vacuum, gauge or absolute: a broken transmitter.", low=-101.325),
        _between(
            "most_pressure_kpa", "20,000 psi: beyond the rating of any wellhead; the tag's unit is wrong.", high=138_000
        ),
        _between("least_temperature_degc", "Colder than any wellhead in service: a lost element.", low=-60),
        _between(
            "most_temperature_degc", "Hotter than a wellhead may run: a lost element, or degF taken for degC.", high=200
        ),
        _between("least_choke_opening_ratio", "Further shut than shut by 5 %: the positioner is off.", low=-0.05),
        _between("most_choke_opening_ratio", "Further open than open by 5 %: percent taken for a ratio.", high=1.05),
    ],
)
