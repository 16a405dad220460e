"""Corrections that touch the window: can each be carried out, and does it say why? A row a correction."""

import great_expectations as gx

KEY = ("correction_id", "station_id", "what", "new_value")

ROWS = """
select
    k.correction_id,
    k.station_id,
    k.what,
    k.new_value,
    k.why,
    case when s.station_id is null then 0 else 1 end as station_is_known,
    case
        when k.what in ('good_units', 'scrap_units', 'rework_units')
            then cast(try_cast(k.new_value as bigint) is not null as integer)
        when k.what = 'reason' then cast(r.reason_code is not null as integer)
        when k.what = 'state' then cast(k.new_value <> '' and k.new_value is not null as integer)
        else 0
    end as can_be_read,
    round(case when k.what in ('reason', 'state') then seconds_between(k.from_at, k.to_at) / 3600 end, 3) as hours
from stg_mes__manual_corrections as k
cross join this_close as c
left join int_stations as s on k.station_id = s.station_id
left join stg_mes__reasons as r on upper(k.new_value) = upper(r.reason_code)
where k.from_at < c.ends_at and (k.to_at > c.starts_at or k.from_at >= c.starts_at)
"""

SUITE = gx.ExpectationSuite(
    name="stg_mes__manual_corrections",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="station_is_known",
            value_set=[1],
            severity="warning",
            notes="No such station, so the correction corrects nothing.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="can_be_read",
            value_set=[1],
            severity="warning",
            notes="Units that are no whole number, a reason that the tree lacks or a kind of correction that does not "
            "exist: enter it again.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours",
            min_value=0,
            max_value=24,
            severity="warning",
            notes="It ends before it starts, and then does nothing, or it covers more than a day by one stroke.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="why", severity="warning", notes="A correction without a reason cannot be told from a mistake."
        ),
    ],
)
