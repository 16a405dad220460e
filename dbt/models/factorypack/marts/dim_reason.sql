select
    cast('{{ var("calendar") }}' as varchar) as calendar,
    reason_code,
    level_1,
    level_2,
    level_3,
    is_planned,
    is_setup
from {{ ref('stg_mes__reasons') }}
