"""Was SCADA heard, and did its instruments work? One row per source in use and contract day.

A source is expected from the first reading on that the close has of it; one that the mirror has never heard is not.
"""

import great_expectations as gx

KEY = ("source", "production_date", "tags_declared", "tags_read")

ROWS = """
with declared as (
    select t.source, cast(count(*) as integer) as tags_declared
    from int_well_tags as t
    group by t.source
),

doubled as (
    select e.source, cast(count(*) as integer) as tags_left_out
    from energypack_tags as e
    inner join int_well_tags as t on e.asset_id = t.well_id and e.measurement = t.measurement and e.tag_id <> t.tag_id
    group by e.source
),

in_use as (
    select t.source, min(r.observed_at) as since
    from stg_ot__readings as r
    inner join int_well_tags as t on r.tag_id = t.tag_id
    group by t.source
),

read_in as (
    select
        t.source,
        h.production_date,
        cast(count(distinct h.started_at) as integer) as hours_read,
        cast(count(distinct h.tag_id) as integer) as tags_read,
        sum(h.readings) as readings,
        sum(h.bad_readings) as bad_readings
    from int_tag_hours as h
    inner join int_well_tags as t on h.tag_id = t.tag_id
    where h.readings > 0
    group by t.source, h.production_date
)

select
    u.source,
    d.production_date,
    e.tags_declared,
    coalesce(o.tags_left_out, 0) as tags_left_out,
    coalesce(i.tags_read, 0) as tags_read,
    greatest(
        cast(ceil(seconds_between(greatest(d.starts_at, u.since), d.ends_at) / 3600) as integer)
        - coalesce(i.hours_read, 0),
        0
    ) as hours_silent,
    round(100 * ratio(i.bad_readings, i.readings), 2) as percent_bad
from in_use as u
inner join declared as e on u.source = e.source
inner join close_days as d on u.since < d.ends_at
left join doubled as o on u.source = o.source
left join read_in as i on u.source = i.source and d.production_date = i.production_date
"""

SUITE = gx.ExpectationSuite(
    name="int_tag_hours",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_silent",
            max_value=1,
            severity="warning",
            notes="Not one of the source's tags was read for hours: the server, its bridge or the mirror was down. "
            "SCADA figures of the day are of the rest of it; a later version has what was backfilled.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="percent_bad",
            max_value=20,
            severity="warning",
            notes="One reading in five without a value is no longer single instruments: look at the source's network, "
            "and at ot.tag_health for the tags.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="tags_left_out",
            max_value=0,
            severity="warning",
            notes="The dictionary has two tags for one measurement of a well; the marts take the first by name. Give "
            "the other a measurement of its own, or take it out.",
        ),
    ],
)
