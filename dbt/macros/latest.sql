{#- The rows of a source table as they stood at the close's cut-off: the latest row per declared key.

    Order is the position (_epoch, _commit_lsn, _seq): by commit, then place in the transaction.
    * A delete (d) removes its key; a key change arrives as d of the old key and c of the new one.
    * A TRUNCATE (t) removes every row before it.
    * An epoch starts when the stream lost its place and the table was loaded anew (r): rows of an older
      epoch than the newest load no longer count, since deletes in between were never seen.
    * A value that the source did not send again (its name is in _unchanged) is read by `carried(column)`,
      for the columns that the YAML lists as `toasted`. An unsent value of any other column, or one whose
      earlier value is not in raw, stops the build: load the table again.

    Columns are those of raw, and `<column>_carried` for each toasted one. -#}
{% macro latest(source_name, table_name) %}
{%- set entry = declared(source_name, table_name) -%}
{%- set key = entry.key | join(", ") -%}
{%- set toasted = entry.get("toasted", []) -%}
with at_cut_off as (
    select * from {{ source(source_name, table_name) }}
    where {{ at_cut_off(source_name, table_name) }}
),

reset as (
    select
        max(case when _op = 't' then row(_epoch, _commit_lsn, _seq) end) as truncated_at,
        max(case when _op = 'r' then _epoch end) as loaded_epoch
    from at_cut_off
),

counted as (
    select changes.*
    from at_cut_off as changes
    cross join reset
    where
        changes._op <> 't'
        and (reset.loaded_epoch is null or changes._epoch >= reset.loaded_epoch)
        and (
            reset.truncated_at is null
            or row(changes._epoch, changes._commit_lsn, changes._seq) > reset.truncated_at
        )
),
{% if toasted %}
{{ carry_ctes(key, toasted) }}
{% endif %}
numbered as (
    select
        counted.*,
        row_number() over (partition by {{ key }} order by _epoch desc, _commit_lsn desc, _seq desc) as _nth
    from counted
)

select
    numbered.*
    {%- for column in toasted %},
    carried_values.{{ column }}_carried
    {%- endfor %}
from numbered
{% if toasted -%}
left join carried_values
    on
        numbered._epoch = carried_values.carried_epoch
        and numbered._commit_lsn = carried_values.carried_commit_lsn
        and numbered._seq = carried_values.carried_seq
{% endif -%}
where
    numbered._nth = 1
    and numbered._op <> 'd'
    and case
        when numbered._unchanged is null then true
        when {{ all_known("numbered._unchanged", toasted) }} then true
        else {{ fail("'" ~ source_name ~ "." ~ table_name ~ ": a value was not sent again and no earlier one is known; load the table again'") }}
    end
{% endmacro %}


{#- A toasted column of `latest`: as sent, or the last value known where the source did not send it again. -#}
{% macro carried(column) -%}
    case when {{ is_unsent(column, "_unchanged") }} then {{ column }}_carried else {{ column }} end
{%- endmacro %}


{#- Whether `unchanged`, a comma-joined list of names or null, names the column. -#}
{% macro is_unsent(column, unchanged) -%}
    coalesce(',' || {{ unchanged }} || ',' like '%,{{ column }},%', false)
{%- endmacro %}


{#- Whether `unchanged` names toasted columns only, each with a carried value. -#}
{% macro all_known(unchanged, toasted) -%}
    {%- set rest = namespace(sql="',' || replace(" ~ unchanged ~ ", ',', ',,') || ','") -%}
    {%- for column in toasted -%}
        {%- set rest.sql = "replace(" ~ rest.sql ~ ", '," ~ column ~ ",', '')" -%}
    {%- endfor -%}
    {{ rest.sql }} = ''
    {%- for column in toasted %}
        and (not {{ is_unsent(column, unchanged) }} or {{ column }}_carried is not null)
    {%- endfor -%}
{%- endmacro %}


{#- The CTE `carried_values`: per change, the value of each toasted column that was last sent for its row.

    A row lives from its insert to its delete; `_life` counts these lives per key, so that the value of another
    row that once had the key is not taken. Within a life the last value sent counts. The first change after a
    key change takes the value of the `d` just before it in the same commit; one more pass follows each further
    change of the key, so three changes in a row without the value being sent are followed. Where nothing is
    unsent (the rule under full replica identity) all of this works on no rows. -#}
{% macro carry_ctes(key, toasted) %}
{%- set order = "order by _epoch, _commit_lsn, _seq" -%}
unsent as (
    select count(*) as changes from counted where _unchanged is not null
),

carry_0 as (
    select
        {{ key }},
        _epoch,
        _commit_lsn,
        _seq,
        _op,
        _unchanged,
        {%- for column in toasted %}
        {{ column }} as {{ column }}_carried,
        {%- endfor %}
        coalesce(
            sum(case when _op = 'd' then 1 else 0 end)
                over (partition by {{ key }} {{ order }} rows between unbounded preceding and 1 preceding),
            0
        ) as _life
    from counted
    cross join unsent
    where unsent.changes > 0
),
{% for n in range(1, 4) %}
known_{{ n }} as (
    select
        {{ key }}, _epoch, _commit_lsn, _seq, _op, _unchanged, _life
        {%- for column in toasted %},
        {{ last_known(column ~ "_carried", "partition by " ~ key ~ ", _life " ~ order) }} as {{ column }}_carried
        {%- endfor %}
    from carry_{{ n - 1 }}
),

carry_{{ n }} as (
    select
        {{ key }}, _epoch, _commit_lsn, _seq, _op, _unchanged, _life
        {%- for column in toasted %},
        case
            when
                {{ column }}_carried is null
                and _op = 'c'
                and {{ is_unsent(column, "_unchanged") }}
                and lag(_op) over ({{ order }}) = 'd'
                and lag(_epoch) over ({{ order }}) = _epoch
                and lag(_commit_lsn) over ({{ order }}) = _commit_lsn
                then lag({{ column }}_carried) over ({{ order }})
            else {{ column }}_carried
        end as {{ column }}_carried
        {%- endfor %}
    from known_{{ n }}
),
{% endfor %}
carried_rows as (
    select
        _epoch,
        _commit_lsn,
        _seq
        {%- for column in toasted %},
        {{ last_known(column ~ "_carried", "partition by " ~ key ~ ", _life " ~ order) }} as {{ column }}_carried
        {%- endfor %}
    from carry_3
),

carried_values as (  -- a change that a crash of Kafka Connect brought twice counts once
    select
        _epoch as carried_epoch,
        _commit_lsn as carried_commit_lsn,
        _seq as carried_seq
        {%- for column in toasted %},
        max({{ column }}_carried) as {{ column }}_carried
        {%- endfor %}
    from carried_rows
    group by _epoch, _commit_lsn, _seq
),
{% endmacro %}


{% macro last_known(column, window) %}{{ return(adapter.dispatch("last_known")(column, window)) }}{% endmacro %}

{% macro default__last_known(column, window) %}
    {{- return("last_value(" ~ column ~ " ignore nulls) over (" ~ window ~ " rows between unbounded preceding and current row)") -}}
{% endmacro %}

{% macro trino__last_known(column, window) %}
    {{- return("last_value(" ~ column ~ ") ignore nulls over (" ~ window ~ " rows between unbounded preceding and current row)") -}}
{% endmacro %}


{#- An expression that stops the query with a message where it is evaluated. -#}
{% macro fail(message) %}{{ return(adapter.dispatch("fail")(message)) }}{% endmacro %}

{% macro default__fail(message) %}{{ return("error(" ~ message ~ ")") }}{% endmacro %}

{% macro trino__fail(message) %}{{ return("cast(fail(" ~ message ~ ") as boolean)") }}{% endmacro %}
