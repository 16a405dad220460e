"""What a believable field day looks like, beside the same field's days before, and against the sum of its wells."""

import great_expectations as gx

KEY = ("field_code", "production_date", "oil_sm3", "usual_oil_sm3")

ROWS = """
with built as (
    select
        m.field_code, m.production_date, m.oil_sm3, m.gas_sm3, m.water_sm3, m.hours_on, m.wells_reported,
        m.wells_on_stream, true as is_in_window
    from fct_field_production_daily as m
    inner join this_close as c on m.calendar = c.calendar and m.production_date between c.from_date and c.to_date
),

days as (
    select * from built
    union all
    select
        h.field_code, h.production_date, h.oil_sm3, h.gas_sm3, h.water_sm3, h.hours_on, h.wells_reported,
        h.wells_on_stream, false as is_in_window
    from history_fct_field_production_daily as h
    cross join this_close as c
    where h.production_date < c.from_date and h.production_date >= c.from_date - interval '40' day
),

with_usual as (
    select
        *,
        median_of(array_agg(oil_sm3) over last_30) as usual_oil_sm3,
        median_of(array_agg(case when hours_on > 0 then ratio(oil_sm3, hours_on) end) over last_30)
            as usual_oil_per_hour,
        median_of(array_agg(wells_on_stream) over last_30) as usual_wells_on_stream,
        median_of(array_agg(wells_reported) over last_30) as usual_wells_reported,
        count(*) over last_30 as days_before
    from days
    window last_30 as (
        partition by field_code
        order by production_date range between interval '30' day preceding and interval '1' day preceding
    )
),

of_wells as (
    select
        w.field_code,
        w.production_date,
        sum(w.oil_sm3) as oil_sm3,
        sum(w.gas_sm3) as gas_sm3,
        sum(w.water_sm3) as water_sm3
    from fct_well_production_daily as w
    inner join this_close as c on w.calendar = c.calendar and w.production_date between c.from_date and c.to_date
    group by w.field_code, w.production_date
)

select
    f.field_code,
    f.production_date,
    f.oil_sm3,
    round(f.usual_oil_sm3, 3) as usual_oil_sm3,
    f.wells_reported,
    round(
        case when f.days_before >= 5 and f.usual_wells_on_stream >= 10 and f.usual_oil_per_hour > 0
            then coalesce(ratio(f.oil_sm3, f.hours_on), 0) / f.usual_oil_per_hour end,
        4
    ) as hourly_oil_to_usual_of_many_wells,
    round(
        case when f.days_before >= 5 and f.usual_oil_sm3 > 0 then ratio(f.oil_sm3, f.usual_oil_sm3) end, 4
    ) as oil_to_usual,
    case when f.days_before >= 5 then f.wells_reported - f.usual_wells_reported end as wells_more_than_usual,
    f.oil_sm3 - coalesce(w.oil_sm3, 0) as oil_beyond_wells_sm3,
    f.gas_sm3 - coalesce(w.gas_sm3, 0) as gas_beyond_wells_sm3,
    f.water_sm3 - coalesce(w.water_sm3, 0) as water_beyond_wells_sm3
from with_usual as f
left join of_wells as w on f.field_code = w.field_code and f.production_date = w.production_date
where f.is_in_window
"""

SUITE = gx.ExpectationSuite(
    name="fct_field_production_daily",
    expectations=[
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"{product}_beyond_wells_sm3",
                min_value=0,
                max_value=0,
                severity="critical",
                notes="A field is the sum of its wells to the last digit; a reader who adds them up must not find "
                "another figure.",
            )
            for product in ("oil", "gas", "water")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hourly_oil_to_usual_of_many_wells",
            min_value=0.5,
            max_value=2,
            severity="critical",
            notes="Ten wells or more do not halve or double their hourly rate together overnight; shut-ins are out "
            "of the figure. "
            "A unit or a whole upload is wrong.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_to_usual",
            min_value=0.7,
            max_value=1.3,
            severity="warning",
            notes="30 % off the median of the last 30 days: a facility was down, a new well came, or something is "
            "missing.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="wells_more_than_usual",
            min_value=-0.5,
            severity="warning",
            notes="Fewer wells than usual: some have not reported, and their production is missing from the total.",
        ),
    ],
)
