{#- Instants, local times and contract days. Models touch zones by these alone, since engines disagree on AT TIME ZONE. -#}

{#- The local time, without a zone, that a clock in `zone` shows at a UTC instant. -#}
{% macro utc_to_local(instant, zone) %}{{ return(adapter.dispatch("utc_to_local")(instant, zone)) }}{% endmacro %}

{% macro default__utc_to_local(instant, zone) %}{{ return("timezone('" ~ zone ~ "', " ~ instant ~ ")") }}{% endmacro %}

{% macro trino__utc_to_local(instant, zone) %}
    {{- return("cast(at_timezone(" ~ instant ~ ", '" ~ zone ~ "') as timestamp(6))") -}}
{% endmacro %}


{#- The UTC instant of a local time. For instants of the calendar only: source times get theirs at landing. -#}
{% macro local_to_utc(local, zone) %}{{ return(adapter.dispatch("local_to_utc")(local, zone)) }}{% endmacro %}

{% macro default__local_to_utc(local, zone) %}{{ return("timezone('" ~ zone ~ "', " ~ local ~ ")") }}{% endmacro %}

{% macro trino__local_to_utc(local, zone) %}{{ return("with_timezone(" ~ local ~ ", '" ~ zone ~ "')") }}{% endmacro %}


{#- The production date whose contract day holds a UTC instant: the local date on which that day starts. -#}
{% macro contract_day(instant) -%}
    cast({{ utc_to_local(instant, var("zone")) }} - interval '{{ var("contract_hour") }}' hour as date)
{%- endmacro %}


{#- The UTC instant at which a production date starts. An hour that comes twice counts as the first one: an hour
    later than the hour before it, where that hour shows the same local time. -#}
{% macro contract_day_start(production_date) -%}
    {%- set local = "(cast(" ~ production_date ~ " as timestamp) + interval '" ~ var("contract_hour") ~ "' hour)" -%}
    {%- set first = "(" ~ local_to_utc("(" ~ local ~ " - interval '1' hour)", var("zone")) ~ " + interval '1' hour)" -%}
    case when {{ utc_to_local(first, var("zone")) }} = {{ local }} then {{ first }} else {{ local_to_utc(local, var("zone")) }} end
{%- endmacro %}


{#- Every date of the close's window, as a relation with the column `production_date`. -#}
{% macro window_dates() %}{{ return(adapter.dispatch("date_spine")(var("from_date"), var("to_date"))) }}{% endmacro %}

{#- Every date from `first` to `last`, both included. -#}
{% macro date_spine(first, last) %}{{ return(adapter.dispatch("date_spine")(first, last)) }}{% endmacro %}

{% macro default__date_spine(first, last) -%}
    {{- return(
        "select cast(unnest(generate_series(date '" ~ first ~ "', date '" ~ last ~ "', interval 1 day)) as date) as production_date"
    ) -}}
{%- endmacro %}

{% macro trino__date_spine(first, last) -%}
    {{- return("select production_date from unnest(sequence(date '" ~ first ~ "', date '" ~ last ~ "')) as days (production_date)") -}}
{%- endmacro %}


{#- The condition that a production date lies in the close's window. -#}
{% macro in_window(column) -%}
    {{ column }} between date '{{ var("from_date") }}' and date '{{ var("to_date") }}'
{%- endmacro %}


{#- Hours between two instants, to the millisecond, rounded half up to six decimals. -#}
{% macro hours_between(start, end) -%}
    {{ ratio(ms_between(start, end), "3600000", 6) }}
{%- endmacro %}


{#- The first day of a date's month. -#}
{% macro month_of(date) -%}
    cast(date_trunc('month', {{ date }}) as date)
{%- endmacro %}


{#- Milliseconds between two instants, as a decimal that can be summed and weighted. -#}
{% macro ms_between(start, end) -%}
    cast(date_diff('millisecond', {{ start }}, {{ end }}) as decimal(18, 0))
{%- endmacro %}
