{#- The platform's word for the well type of the Norwegian daily export. -#}
{% macro npd_well_type(well_type) -%}
    case {{ well_type }} when 'OP' then 'oil_producer' when 'WI' then 'water_injector' else lower({{ well_type }}) end
{%- endmacro %}
