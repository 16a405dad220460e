{#- Each round reads the one before it three times, so that an engine that repeats them does so nine times and no more. -#}
with links as (
    select distinct
        input_id,
        output_id
    from {{ ref('int_trace_links') }}
    where kind <> 'reworked'
),

once as (
    {{ trace_inner("links") }}
)

{{ trace_inner("once") }}
