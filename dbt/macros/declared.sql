{#- What the sources' YAML says about a table: `meta.land` of a captured table, `meta.feed` of a partner file.
    While dbt parses, sources are not known yet: a stand-in is given, whose SQL is never run. -#}
{% macro declared(source_name, table_name) %}
    {%- if not execute -%}
        {{ return({"key": ["_"], "toasted": [], "calendar": var("calendar")}) }}
    {%- endif -%}
    {%- for node in graph.sources.values() if node.source_name == source_name and node.name == table_name -%}
        {%- set meta = node.config.meta or node.meta -%}
        {{ return(meta.get("feed") or meta.get("land")) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error("No source table " ~ source_name ~ "." ~ table_name ~ " is declared") }}
{% endmacro %}


{#- The condition by which a row of raw was in at the close's cut-off. While dbt parses, the models of all packs are
    read, and a close has the cut-off of its own pack's sources alone. -#}
{% macro at_cut_off(source_name, table_name) %}
    {%- set cut_off = var("cut_off") -%}
    {%- if cut_off == "all" or not execute -%}
        true
    {%- else -%}
        {%- set found = cut_off.get(source_name ~ "__" ~ table_name) or cut_off.get(source_name) -%}
        {%- if not found -%}
            {{ exceptions.raise_compiler_error("The close has no cut-off for " ~ source_name ~ "." ~ table_name ~ ": freeze it again") }}
        {%- endif -%}
        (_epoch < {{ found.epoch }} or (_epoch = {{ found.epoch }} and _commit_lsn <= {{ found.commit_lsn }}))
    {%- endif -%}
{% endmacro %}


{#- What the pack's mart held before this close, at the snapshot that the close froze. Null: nothing was published.
    A column that the mart did not have yet is null. -#}
{% macro published(mart, columns) %}
    {%- set snapshot_id = var("history").get(mart) -%}
    {%- if snapshot_id -%}
        select {{ columns | join(", ") }} from ({{ published_at(mart, columns, snapshot_id) }}) as published
    {%- else -%}
        select {{ columns | join(", ") }} from {{ ref(mart) }} where false
    {%- endif -%}
{% endmacro %}

{% macro published_at(mart, columns, snapshot_id) %}
    {{- return(adapter.dispatch("published_at")(mart, columns, snapshot_id)) -}}
{% endmacro %}

{% macro default__published_at(mart, columns, snapshot_id) %}
    select * from {{ ref(mart) }} where false
    union all by name
    {%- set name = var("history_names").get(mart) %}
    select * from lakehouse.{{ var("pack") }}.
    {%- if name -%} "{{ name }}" {%- else -%} {{ mart }} at (version => {{ snapshot_id }}) {%- endif %}
{% endmacro %}

{#- Trino unites by place and knows no `by name`, so it is asked which columns there were. -#}
{% macro trino__published_at(mart, columns, snapshot_id) %}
    {%- set name = var("history_names").get(mart) -%}
    {%- set as_then = '"' ~ name ~ '"' if name else mart ~ " for version as of " ~ snapshot_id -%}
    {%- set then = "lakehouse." ~ var("pack") ~ "." ~ as_then -%}
    {%- set known = run_query("select * from " ~ then ~ " limit 0").column_names if execute else columns -%}
    select {{ columns | join(", ") }} from {{ ref(mart) }} where false
    union all
    select
        {%- for column in columns %}
        {{ column if column in known else "null as " ~ column }}{{ "," if not loop.last }}
        {%- endfor %}
    from {{ then }}
{% endmacro %}
