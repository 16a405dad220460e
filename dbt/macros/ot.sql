{#- What models of OT readings share. Times are counted in whole milliseconds since 1970 UTC: on integers both engines
    agree to the last digit, and they are fast on millions of rows. -#}

{#- OPC UA status codes: from `ot_bad()` on nothing is known; from `ot_uncertain()` on the value counts and is counted. -#}
{% macro ot_bad() %}{{ return("2147483648") }}{% endmacro %}

{% macro ot_uncertain() %}{{ return("1073741824") }}{% endmacro %}

{#- The sample by which a bridge says that it has no connection; it tells of the mirror, not of the plant. -#}
{% macro is_no_connection() -%} (quality = 2150694912 and clock = 'bridge') {%- endmacro %}


{#- The condition by which a row of `ot` was in at the close's cut-off. A close that froze before there was a mirror has
    no entry for it and reads nothing, so that clearing it builds what it built. -#}
{% macro ot_at_cut_off() %}
    {%- set cut_off = var("cut_off") -%}
    {%- if cut_off == "all" -%}
        true
    {%- elif not cut_off.get("ot") -%}
        false
    {%- else -%}
        _ordinal <= {{ cut_off.ot.commit_lsn }}
    {%- endif -%}
{% endmacro %}


{#- The UTC instants between which the close's days run. Constants to the planner: a scan reads only the days it needs. -#}
{% macro window_starts_at() -%} ({{ contract_day_start("date '" ~ var("from_date") ~ "'") }}) {%- endmacro %}

{% macro window_ends_at() -%} ({{ contract_day_start("(date '" ~ var("to_date") ~ "' + interval '1' day)") }}) {%- endmacro %}


{#- Whole milliseconds from 1970 UTC to an instant; what is finer is cut off. -#}
{% macro epoch_ms(instant) %}{{ return(adapter.dispatch("epoch_ms")(instant)) }}{% endmacro %}

{% macro default__epoch_ms(instant) %}{{ return("epoch_ms(" ~ instant ~ ")") }}{% endmacro %}

{% macro trino__epoch_ms(instant) %}
    {{- return("date_diff('millisecond', timestamp '1970-01-01 00:00:00 UTC', " ~ instant ~ ")") -}}
{% endmacro %}


{#- num / den of whole numbers above zero, cut off to a whole number. -#}
{% macro whole(num, den) %}{{ return(adapter.dispatch("whole")(num, den)) }}{% endmacro %}

{% macro default__whole(num, den) %}{{ return("((" ~ num ~ ") // " ~ den ~ ")") }}{% endmacro %}

{% macro trino__whole(num, den) %}{{ return("((" ~ num ~ ") / " ~ den ~ ")") }}{% endmacro %}


{#- How long a value is believed after its source was last heard, in milliseconds. -#}
{% macro max_hold_ms() %}{{ return((var("ot_max_hold_h") * 3600000) | int) }}{% endmacro %}


{#- A reading's double as a decimal of six decimals, by the engine's cast: the nearest, ties away from zero. From then on
    figures are exact. A value of a billion or more, in whatever unit, is none: no instrument shows it, and it would
    overflow the sums of all others. -#}
{% macro exact_reading(value) -%}
    case when abs({{ value }}) < 1000000000 then cast({{ value }} as decimal(18, 6)) end
{%- endmacro %}
