with lines as (
    select distinct line_id from {{ ref('int_stations') }}
)

select
    lines.line_id,
    coalesce(own_rule.micro_stop_treatment, any_rule.micro_stop_treatment, 'delay') as micro_stop_treatment,
    coalesce(own_rule.max_no_data_share, any_rule.max_no_data_share, 0.05) as max_no_data_share
from lines
left join {{ ref('factorypack_rules') }} as own_rule on lines.line_id = own_rule.line_id
left join {{ ref('factorypack_rules') }} as any_rule on any_rule.line_id = '*'
