"""What a believable shift of the site looks like: the sum of its lines, beside the same shift's usual OEE."""

import great_expectations as gx

KEY = ("shift_id", "oee", "usual_oee")

ROWS = """
with built as (
    select m.shift_id, m.production_date, m.shift, m.oee, m.known_s, m.produced_units, m.lines, true as is_in_window
    from fct_oee_site_shift as m
    inner join this_close as c on m.calendar = c.calendar
    inner join close_shifts as h on m.shift_id = h.shift_id
),

shifts as (
    select * from built
    union all
    select m.shift_id, m.production_date, m.shift, m.oee, m.known_s, m.produced_units, m.lines, false as is_in_window
    from history_fct_oee_site_shift as m
    where m.shift_id not in (select shift_id from built)
),

with_usual as (
    select
        *,
        median_of(array_agg(oee) over last_28) as usual_oee,
        count(oee) over last_28 as shifts_before
    from shifts
    window last_28 as (
        partition by shift
        order by production_date range between interval '28' day preceding and interval '1' day preceding
    )
),

of_lines as (
    select m.shift_id, sum(m.known_s) as known_s, sum(m.produced_units) as produced_units, count(*) as lines
    from fct_oee_line_shift as m
    inner join this_close as c on m.calendar = c.calendar
    group by m.shift_id
)

select
    u.shift_id,
    cast(u.oee as double) as oee,
    round(u.usual_oee, 4) as usual_oee,
    cast(u.known_s - coalesce(l.known_s, 0) as double) as seconds_beyond_lines,
    cast(u.produced_units - coalesce(l.produced_units, 0) as bigint) as units_beyond_lines,
    round(case when u.shifts_before >= 5 then 100 * (u.oee - u.usual_oee) end, 2) as points_off_usual
from with_usual as u
left join of_lines as l on u.shift_id = l.shift_id
where u.is_in_window
"""

SUITE = gx.ExpectationSuite(
    name="fct_oee_site_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_beyond_lines",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The site is the sum of its lines; a reader who adds them up must not find another figure.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_beyond_lines",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The site is the sum of its lines, to the unit.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="points_off_usual",
            min_value=-25,
            max_value=25,
            severity="warning",
            notes="25 points off the median of the same shift in the four weeks before: a line stood, or something is "
            "missing or counted twice.",
        ),
    ],
)
