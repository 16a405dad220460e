"""What a believable shift of a station looks like: its time is conserved, its figures follow from its parts."""

import great_expectations as gx

KEY = ("shift_id", "station_id")

ROWS = """
with built as (
    select m.*
    from fct_oee_station_shift as m
    inner join this_close as c on m.calendar = c.calendar
    inner join close_shifts as h on m.shift_id = h.shift_id
)

select
    h.shift_id,
    s.station_id,
    case when m.station_id is null then 0 else 1 end as is_there,
    cast(m.planned_s + m.no_data_s + m.apt_s + m.aust_s + m.adet_s + m.adot_s + m.unknown_s - m.pot_s as double)
        as time_beyond_pot_s,
    cast(m.good_units + m.scrap_units + m.rework_units - m.produced_units as bigint) as units_beyond_produced,
    cast(abs(m.oee - m.availability * m.effectiveness * m.quality) as double) as oee_off_product,
    cast(m.availability as double) as availability,
    cast(m.effectiveness as double) as effectiveness,
    cast(m.oee as double) as oee,
    m.units_without_ideal,
    case when m.apt_s = 0 and m.running_s = 0 then m.produced_units else 0 end as units_without_production,
    case when m.is_doubtful then 1 else 0 end as is_doubtful
from close_shifts as h
cross join this_close as c
inner join int_stations as s on c.calendar = s.calendar
left join built as m on h.shift_id = m.shift_id and s.station_id = m.station_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_oee_station_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_there",
            value_set=[1],
            severity="critical",
            notes="Every station has a row for every shift, if only to say that nothing is known of it.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="time_beyond_pot_s",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="planned + no data + APT + AUST + ADET + ADOT + unknown = POT to the millisecond; anything else "
            "counts time twice or not at all.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_beyond_produced",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="What was produced is good, scrapped or to be reworked; a reader who adds them up must not find "
            "another figure.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oee_off_product",
            max_value=0.00001,
            severity="critical",
            notes="OEE is A x E x Q. Each is rounded to six decimals, so their product may be a few millionths off.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="availability",
            min_value=0,
            max_value=1,
            severity="critical",
            notes="A station cannot run for longer than it is known.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="effectiveness",
            max_value=1,
            severity="warning",
            notes="Faster than the routing says is possible: the planned run time is too long, or a counter counts "
            "twice. The figure stays and is flagged.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oee",
            max_value=3,
            severity="critical",
            notes="Three times what is possible is no machine but a unit: minutes taken for seconds in a routing, or a "
            "counter that was not there.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_without_ideal",
            max_value=0,
            severity="warning",
            notes="Units without an order or a routing have no planned run time; effectiveness leaves them out.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_without_production",
            max_value=0,
            severity="warning",
            notes="The station counted units in a shift in which it never produced: its state or its counter is wrong.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_doubtful",
            value_set=[0],
            severity="warning",
            notes="More of the shift is without data than factorypack_rules.csv allows.",
        ),
    ],
)
