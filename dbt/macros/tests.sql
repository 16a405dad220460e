{#- Rows that share the given columns; a key must be met once. -#}
{% test unique_together(model, columns) %}
select {{ columns | join(", ") }}, count(*) as copies
from {{ model }}
group by {{ columns | join(", ") }}
having count(*) > 1
{% endtest %}


{#- Rows whose value is missing in another model; null refers to nothing and passes. -#}
{% test refers_to(model, column_name, to, field) %}
select children.{{ column_name }}
from {{ model }} as children
left join {{ to }} as parents on children.{{ column_name }} = parents.{{ field }}
where children.{{ column_name }} is not null and parents.{{ field }} is null
{% endtest %}
