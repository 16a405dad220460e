"""Do the shifts of the manufacturing execution system run by the same clock as those of the calendar? A row a shift."""

import great_expectations as gx

KEY = ("shift", "times_of_mes", "times_of_calendar")

ROWS = """
with declared as (
    select
        s.shift,
        joined(
            array_agg(substr(cast(s.starts as varchar), 1, 5) || '-' || substr(cast(s.ends as varchar), 1, 5)), ' '
        ) as times
    from factorypack_shifts as s
    inner join this_close as c on s.calendar = c.calendar
    where
        cast(s.valid_from as date) <= c.to_date
        and coalesce(cast(nullif(cast(s.valid_to as varchar), '') as date), c.to_date) >= c.to_date
    group by s.shift
),

known as (
    select
        p.shift,
        joined(array_agg(substr(p.starts_at, 1, 5) || '-' || substr(p.ends_at, 1, 5)), ' ') as times
    from mes__shift_patterns as p
    group by p.shift
)

select
    cast(coalesce(d.shift, k.shift) as integer) as shift,
    k.times as times_of_mes,
    d.times as times_of_calendar,
    case when k.times = d.times then 1 else 0 end as is_same
from declared as d
full outer join known as k on d.shift = k.shift
where (select count(*) from known) > 0
"""

SUITE = gx.ExpectationSuite(
    name="mes__shift_patterns",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_same",
            value_set=[1],
            severity="warning",
            notes="The MES and factorypack_shifts.csv disagree on when a shift runs. Shifts close by the seed: if the "
            "plant has moved, add the new times there with their valid_from.",
        ),
    ],
)
