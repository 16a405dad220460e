{#- Exact arithmetic that gives the same figure on every engine. Models divide, average and convert by these alone. -#}

{#- num / den, rounded half up to `scale` decimals; null where den is 0 or either is null. Both are taken to six
    decimals first, so that the division is one of whole numbers. -#}
{% macro ratio(num, den, scale=6) %}{{ return(adapter.dispatch("ratio")(num, den, scale)) }}{% endmacro %}

{% macro default__ratio(num, den, scale) -%}
    {%- set n = "cast(cast(" ~ num ~ " as decimal(30, 6)) * 1000000 as hugeint)" -%}
    {%- set d = "cast(cast(" ~ den ~ " as decimal(30, 6)) * 1000000 as hugeint)" -%}
    {{- return(
        "cast(case when " ~ d ~ " <> 0 then sign(" ~ n ~ ") * sign(" ~ d ~ ") * ((2 * abs(" ~ n ~ ") * " ~ (10 ** scale)
        ~ " + abs(" ~ d ~ ")) // (2 * abs(" ~ d ~ "))) end as decimal(38, 0)) * cast(" ~ ("%.*f" | format(scale, 10 ** -scale))
        ~ " as decimal(" ~ (scale + 1) ~ ", " ~ scale ~ "))"
    ) -}}
{%- endmacro %}

{% macro trino__ratio(num, den, scale) -%}
    {%- set wide = [scale, 6] | max -%}
    {{- return(
        "cast(cast(" ~ num ~ " as decimal(30, " ~ wide ~ ")) / nullif(cast(" ~ den ~ " as decimal(30, 6)), 0) as decimal(38, " ~ scale ~ "))"
    ) -}}
{%- endmacro %}


{#- The mean of a column over a group, rounded half up; null where no row has a value. -#}
{% macro average(column, scale=6) %}{{ return(ratio("sum(" ~ column ~ ")", "count(" ~ column ~ ")", scale)) }}{% endmacro %}


{#- A decimal of `from_scale` decimals rounded half even to `scale`; casts round half away from zero on both engines. -#}
{% macro round_half_even(value, from_scale, scale) -%}
    {%- set near = "cast(" ~ value ~ " as decimal(38, " ~ scale ~ "))" -%}
    {%- set step = "%.*f" | format(scale, 10 ** -scale) -%}
    ({{ near }} - case
        when
            abs(cast({{ near }} as decimal(38, {{ from_scale }})) - {{ value }}) = {{ "%.*f" | format(scale + 1, 5 * 10 ** -(scale + 1)) }}
            and mod({{ near }}, {{ "%.*f" | format(scale, 2 * 10 ** -scale) }}) <> 0
            then sign({{ near }}) * {{ step }}
        else 0
    end)
{%- endmacro %}


{#- value * factor rounded half even to six decimals; exact while the value has at most 12 decimals and 13 digits before. -#}
{% macro converted(value, factor) -%}
    {{ round_half_even("(cast(" ~ value ~ " as decimal(25, 12)) * cast(" ~ factor ~ " as decimal(13, 12)))", 24, 6) }}
{%- endmacro %}


{#- A reported volume in Sm3 (15 degC, 101.325 kPa). Sm3 stay as reported, to the last digit. bbl and Mcf are
    rounded half even to six decimals: 1 bbl is 0.158987294928 m3 exactly; 1 Mcf at 14.73 psia and 60 degF is
    28.328 Sm3. A unit that is not known stops the build. -#}
{% macro to_sm3(volume, unit) -%}
    case {# each branch has its cast: of mixed scales DuckDB would take the smaller -#}
        when {{ volume }} is null then cast(null as decimal(38, 18))
        when {{ unit }} = 'sm3' then cast({{ volume }} as decimal(38, 18))
        when {{ unit }} = 'bbl' then cast({{ converted(volume, "0.158987294928") }} as decimal(38, 18))
        when {{ unit }} = 'mcf' then cast({{ mcf_to_sm3(volume) }} as decimal(38, 18))
        else {{ unknown_unit(unit) }}
    end
{%- endmacro %}

{#- 28.328 exceeds the factor's one digit before the point, so it is taken as ten times 2.8328. -#}
{% macro mcf_to_sm3(volume) -%}
    {{ round_half_even("(cast(" ~ volume ~ " as decimal(25, 12)) * cast(28.328 as decimal(13, 11)))", 23, 6) }}
{%- endmacro %}

{% macro unknown_unit(unit) -%}
    cast({{ fail("'The volume unit ' || coalesce(" ~ unit ~ ", 'null') || ' is not known; add it to to_sm3'") }} as decimal(38, 18))
{%- endmacro %}


{#- Pressure in bar, rounded half even to six decimals: 1 psi is 0.068947572932 bar. -#}
{% macro psi_to_bar(pressure) -%}
    {{ converted(pressure, "0.068947572932") }}
{%- endmacro %}


{#- Temperature in degC from degF, rounded half up to six decimals. -#}
{% macro degf_to_degc(temperature) -%}
    {{ ratio("(" ~ temperature ~ " - 32) * 5", "9", 6) }}
{%- endmacro %}


{#- The later and the earlier of two values that are not null; engines disagree on `greatest` with nulls. -#}
{% macro later_of(a, b) -%} case when {{ a }} > {{ b }} then {{ a }} else {{ b }} end {%- endmacro %}

{% macro earlier_of(a, b) -%} case when {{ a }} < {{ b }} then {{ a }} else {{ b }} end {%- endmacro %}
