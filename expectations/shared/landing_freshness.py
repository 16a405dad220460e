"""How far each source had landed when the close froze, by the source's own clock.

A source that is down, or a stream that stands still, shows here first: the close would read an earlier truth.
"""

import great_expectations as gx

KEY = ("source", "landed_until", "minutes_behind")

ROWS = """
with measured as (
    select
        l.source,
        l.landed_until,
        l.limit_minutes,
        case when l.caught_up then 1 else 0 end as is_caught_up,
        cast(floor(seconds_between(l.landed_until, c.frozen_at) / 60) as integer) as minutes_behind,
        cast(floor(seconds_between(l.landed_until, c.ends_at) / 60) as integer) as minutes_missing_of_close
    from landed as l
    cross join this_close as c
)

select
    *,
    minutes_behind - limit_minutes as minutes_over_limit
from measured
"""

SUITE = gx.ExpectationSuite(
    name="landing_freshness",
    expectations=[
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="landed_until",
            severity="critical",
            notes="Nothing of this source has landed, so there is nothing to close. Is its connector registered "
            "and running?",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="minutes_over_limit",
            max_value=0,
            severity="critical",
            notes="Older than the source's own freshness limit (error_after in its YAML): the stream stands or the "
            "source is down, and corrections of the last hours would be missed without a word.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="minutes_missing_of_close",
            max_value=0,
            severity="critical",
            notes="What has landed ends before the last day or shift: that is not over yet, or its end is missing.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_caught_up",
            value_set=[1],
            severity="warning",
            notes="The stream lagged behind the source when the close froze; what came in those seconds is left "
            "for the next version.",
        ),
    ],
)
