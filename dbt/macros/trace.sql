{#- From when on the close tells of events: from the end of the period before its first one, so that what happens while no
    shift runs is told by the next one. Known to a close alone; else its window. -#}
{% macro trace_since() -%}
    {{ utc_instant(var("since")) if var("since") else window_starts_at() }}
{%- endmacro %}


{#- How long an event waits for its unit or lot to be registered before it is told as one of an unknown item, in milliseconds. -#}
{% macro trace_wait_ms() %}{{ return((var("trace_wait_h") * 3600000) | int) }}{% endmacro %}


{#- Of links, those whose input is the output of another one and whose output is the input of another one: what remains
    where the ends of all chains are cut off. `relation` has input_id and output_id. -#}
{% macro trace_inner(relation) -%}
    select
        input_id,
        output_id
    from {{ relation }}
    where
        input_id in (select others.output_id from {{ relation }} as others)
        and output_id in (select others.input_id from {{ relation }} as others)
{%- endmacro %}
