"""Counts and sums of the source against raw, as last compared before the close froze. Tolerance: none."""

import great_expectations as gx

KEY = ("source", "table_name", "column_name", "source_value", "raw_value")

ROWS = """
with before as (
    select
        r.*,
        row_number() over (partition by r.source, r.table_name, r.column_name order by r.recorded_at desc) as place
    from ops_reconciliations as r
    cross join this_close as c
    where r.recorded_at <= c.frozen_at
),

latest as (
    select * from before where place = 1
),

last_of_table as (
    select source, table_name, max(recorded_at) as compared_at
    from latest
    group by source, table_name
)

select
    d.source,
    d.table_name,
    l.column_name,
    l.source_value,
    l.raw_value,
    case when l.is_equal then 1 when not l.is_equal then 0 end as is_equal,
    cast(floor(seconds_between(t.compared_at, c.frozen_at) / 60) as integer) as minutes_since_compared
from declared_tables as d
cross join this_close as c
left join last_of_table as t on d.source = t.source and d.table_name = t.table_name
left join latest as l on t.source = l.source and t.table_name = l.table_name and t.compared_at = l.recorded_at
where d.table_name <> 'heartbeat'
"""

SUITE = gx.ExpectationSuite(
    name="landing_reconciliation",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_equal",
            value_set=[1],
            severity="critical",
            notes="Source and raw differ as of one recorded position: a row is lost, doubled or changed on the "
            "way. No figure "
            "built on this table can be trusted until the table is loaded again.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="is_equal",
            severity="warning",
            notes="The table has never been compared with its source: the landing DAG has not run since it was "
            "declared.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="minutes_since_compared",
            max_value=24 * 60,
            severity="warning",
            notes="Tables are compared many times a day; a day without means that the landing DAG is paused or red.",
        ),
    ],
)
