"""Units from files that were made in the window: of a line that can be known, told by nobody else. A row a unit."""

import great_expectations as gx

KEY = ("serial",)

ROWS = """
select
    f.serial,
    case when coalesce(o.line_id, f.line_id) is null then 0 else 1 end as line_is_known,
    case when m.serial is null then 0 else 1 end as is_in_mes
from stg_plant_files__units as f
cross join this_close as c
left join stg_mes__production_orders as o on f.order_id = o.order_id
left join stg_mes__serials as m on f.serial = m.serial
where f.made_at >= c.starts_at and f.made_at < c.ends_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__units",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="line_is_known",
            value_set=[1],
            severity="warning",
            notes="Neither its order nor the file says which line made it, so no coverage asks for its scans: fill in "
            "line_id.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_in_mes",
            value_set=[0],
            severity="warning",
            notes="The manufacturing execution system has that serial number and counts; the file's row is left out.",
        ),
    ],
)
