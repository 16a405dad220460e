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
    {%- set n = "cast(cast(" ~ num ~ " as decimal(30, 6)) * 1000000 as decimal(38, 0))" -%}
    {%- set d = "cast(cast(" ~ den ~ " as decimal(30, 6)) * 1000000 as decimal(38, 0))" -%}
    {{- return(
        "cast(" ~ n ~ " * " ~ (10 ** scale) ~ " / nullif(" ~ d ~ ", 0) as decimal(38, 0)) * cast("
        ~ ("%.*f" | format(scale, 10 ** -scale)) ~ " as decimal(" ~ (scale + 1) ~ ", " ~ scale ~ "))"
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

{#- What stops the build where a unit is met that a macro does not know. -#}
{% macro unknown_unit(unit, quantity="volume", macro_name="to_sm3") -%}
    cast({{ fail("'The " ~ quantity ~ " unit ' || coalesce(" ~ unit ~ ", 'null') || ' is not known; add it to " ~ macro_name ~ "'") }} as decimal(38, 18))
{%- endmacro %}


{#- Pressure in bar, rounded half even to six decimals: 1 psi is 0.068947572932 bar. -#}
{% macro psi_to_bar(pressure) -%}
    {{ converted(pressure, "0.068947572932") }}
{%- endmacro %}


{#- Pressure in kPa from a named unit, rounded half even to six decimals; gauge stays gauge, absolute stays absolute.
    1 psi is 6.894757293168 kPa, 1 bar is 100 kPa, 1 atm is 101.325 kPa. -#}
{% macro to_kpa(pressure, unit) -%}
    case
        when {{ pressure }} is null then cast(null as decimal(18, 6))
        when {{ unit }} = 'kpa' then cast({{ converted(pressure, "1") }} as decimal(18, 6))
        when {{ unit }} = 'psi' then cast({{ converted(pressure, "6.894757293168") }} as decimal(18, 6))
        when {{ unit }} = 'bar' then cast({{ converted(times(pressure, 100), "1") }} as decimal(18, 6))
        when {{ unit }} = 'mbar' then cast({{ converted(pressure, "0.1") }} as decimal(18, 6))
        when {{ unit }} = 'pa' then cast({{ converted(pressure, "0.001") }} as decimal(18, 6))
        when {{ unit }} = 'atm' then cast({{ converted(times(pressure, 100), "1.01325") }} as decimal(18, 6))
        when {{ unit }} = 'mpa' then cast({{ converted(times(pressure, 1000), "1") }} as decimal(18, 6))
        else cast({{ unknown_unit(unit, "pressure", "to_kpa") }} as decimal(18, 6))
    end
{%- endmacro %}


{#- Temperature in degC from degF, rounded half up to six decimals. -#}
{% macro degf_to_degc(temperature) -%}
    {{ ratio("(" ~ temperature ~ " - 32) * 5", "9", 6) }}
{%- endmacro %}


{#- Temperature in degC from a named unit, to six decimals. -#}
{% macro to_degc(temperature, unit) -%}
    case
        when {{ temperature }} is null then cast(null as decimal(18, 6))
        when {{ unit }} = 'degc' then cast({{ converted(temperature, "1") }} as decimal(18, 6))
        when {{ unit }} = 'degf' then cast({{ degf_to_degc(temperature) }} as decimal(18, 6))
        when {{ unit }} = 'k' then cast({{ converted("(" ~ temperature ~ " - 273.15)", "1") }} as decimal(18, 6))
        else cast({{ unknown_unit(unit, "temperature", "to_degc") }} as decimal(18, 6))
    end
{%- endmacro %}


{#- A share from 0 to 1, to six decimals, from percent or as it is. -#}
{% macro to_share(value, unit) -%}
    case
        when {{ value }} is null then cast(null as decimal(18, 6))
        when {{ unit }} = '1' then cast({{ converted(value, "1") }} as decimal(18, 6))
        when {{ unit }} = 'pct' then cast({{ converted(value, "0.01") }} as decimal(18, 6))
        else cast({{ unknown_unit(unit, "share", "to_share") }} as decimal(18, 6))
    end
{%- endmacro %}


{#- A rate in Sm3 a day from a named unit, rounded half even to six decimals; bases as in to_sm3. Of a rate times days
    it gives the volume in Sm3. A bare m3 does not say at which conditions, so it is no unit of these. -#}
{% macro rate_to_sm3_per_d(rate, unit) -%}
    case
        when {{ rate }} is null then cast(null as decimal(18, 6))
        {%- for name, per_day in {"d": 1, "h": 24}.items() %}
        when {{ unit }} = 'sm3_per_{{ name }}' then cast({{ converted(times(rate, per_day), "1") }} as decimal(18, 6))
        when {{ unit }} = 'bbl_per_{{ name }}' then cast({{ converted(times(rate, per_day), "0.158987294928") }} as decimal(18, 6))
        when {{ unit }} = 'mcf_per_{{ name }}' then cast({{ mcf_to_sm3(times(rate, per_day)) }} as decimal(18, 6))
        {%- endfor %}
        else cast({{ unknown_unit(unit, "rate", "rate_to_sm3_per_d") }} as decimal(18, 6))
    end
{%- endmacro %}

{% macro times(value, factor) %}{{ return(value if factor == 1 else "(" ~ value ~ " * " ~ factor ~ ")") }}{% endmacro %}


{#- The later and the earlier of two values that are not null; engines disagree on `greatest` with nulls. -#}
{% macro later_of(a, b) -%} case when {{ a }} > {{ b }} then {{ a }} else {{ b }} end {%- endmacro %}

{% macro earlier_of(a, b) -%} case when {{ a }} < {{ b }} then {{ a }} else {{ b }} end {%- endmacro %}
