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

{% macro trino__local_to_utc(local, zone) %}
    {{- return("at_timezone(with_timezone(" ~ local ~ ", '" ~ zone ~ "'), 'UTC')") -}}
{% endmacro %}


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


{#- The UTC instants between which the close's days or shifts run. Constants to the planner: a scan reads only the days
    it needs. -#}
{% macro window_starts_at() -%}
    {%- set periods = var("periods") -%}
    {{ utc_instant(periods[0].parts[0][0]) if periods else "(" ~ contract_day_start("date '" ~ var("from_date") ~ "'") ~ ")" }}
{%- endmacro %}

{% macro window_ends_at() -%}
    {%- set periods = var("periods") -%}
    {%- set after = "(date '" ~ var("to_date") ~ "' + interval '1' day)" -%}
    {{ utc_instant(periods[-1].parts[-1][1]) if periods else "(" ~ contract_day_start(after) ~ ")" }}
{%- endmacro %}


{#- An instant as both engines read it, from its ISO 8601 text in UTC. -#}
{% macro utc_instant(text) -%}
    timestamp '{{ text[:19] | replace("T", " ") }} UTC'
{%- endmacro %}


{#- The shifts that are closed, as a relation: shift_id, production_date, shift, shift_name, starts_at, ends_at. Their clock
    is reckoned once, by the calendar; a close of contract days has none. -#}
{% macro close_periods() -%}
    {%- set rows = [] -%}
    {%- for period in var("periods") -%}
        {%- do rows.append([
            "'" ~ period.name ~ "'", "date '" ~ period.production_date ~ "'", period.shift, "'" ~ (period.label | replace("'", "''")) ~ "'",
            utc_instant(period.parts[0][0]), utc_instant(period.parts[-1][1]),
        ]) -%}
    {%- endfor -%}
    {{ literal_rows(rows, {
        "shift_id": "varchar", "production_date": "date", "shift": "integer", "shift_name": "varchar",
        "starts_at": "timestamp with time zone", "ends_at": "timestamp with time zone",
    }) }}
{%- endmacro %}


{#- Their parts, more than one where a shift is split: shift_id, starts_at, ends_at. -#}
{% macro close_period_parts() -%}
    {%- set rows = [] -%}
    {%- for period in var("periods") -%}
        {%- for part in period.parts -%}
            {%- do rows.append(["'" ~ period.name ~ "'", utc_instant(part[0]), utc_instant(part[1])]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ literal_rows(rows, {
        "shift_id": "varchar", "starts_at": "timestamp with time zone", "ends_at": "timestamp with time zone",
    }) }}
{%- endmacro %}


{#- Their breaks: shift_id, starts_at, ends_at, name. -#}
{% macro close_period_breaks() -%}
    {%- set rows = [] -%}
    {%- for period in var("periods") -%}
        {%- for break in period.breaks -%}
            {%- do rows.append([
                "'" ~ period.name ~ "'", utc_instant(break[0]), utc_instant(break[1]), "'" ~ (break[2] | replace("'", "''")) ~ "'",
            ]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ literal_rows(rows, {
        "shift_id": "varchar", "starts_at": "timestamp with time zone", "ends_at": "timestamp with time zone", "name": "varchar",
    }) }}
{%- endmacro %}


{#- A relation of literals with named and typed columns; without rows it has the columns alone. -#}
{% macro literal_rows(rows, columns) -%}
    select
        {%- for name, type in columns.items() %}
        cast({{ name }} as {{ type }}) as {{ name }}{{ "," if not loop.last }}
        {%- endfor %}
    from (
        values
        {%- for row in rows or [["null"] * (columns | length)] %}
        ({{ row | join(", ") }}){{ "," if not loop.last }}
        {%- endfor %}
    ) as given ({{ columns | join(", ") }})
    {%- if not rows %}
    where false
    {%- endif %}
{%- endmacro %}
