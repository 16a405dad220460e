{#- Which links lie on a cycle: their own input can be reached from their output. Four doublings follow chains of sixteen. -#}
with reach_0 as (
    select * from {{ ref('int_trace_core_links') }}
),
{% for n in range(1, 5) %}
    reach_{{ n }} as (
        select
            input_id,
            output_id
        from reach_{{ n - 1 }}
        union distinct
        select
            nearer.input_id,
            further.output_id
        from reach_{{ n - 1 }} as nearer
        inner join reach_{{ n - 1 }} as further on nearer.output_id = further.input_id
    ),
{% endfor %}
links as (
    select * from {{ ref('int_trace_links') }}
    where kind <> 'reworked'
)

select links.link_id
from links
inner join reach_4 as back on links.output_id = back.input_id and links.input_id = back.output_id
