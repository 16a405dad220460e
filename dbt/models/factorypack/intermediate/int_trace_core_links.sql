with links as (
    select * from {{ ref('int_trace_inner_links') }}
),

once as (
    {{ trace_inner("links") }}
)

{{ trace_inner("once") }}
