with links as (
    select
        days.production_date,
        links.from_id as well_id,
        links.to_id as facility_id,
        row_number() over (
            partition by links.from_id, days.production_date order by links.effective_from desc, links.link_id desc
        ) as nth
    from {{ ref('stg_fieldops__network_links') }} as links
    inner join {{ ref('int_contract_days') }} as days
        on
            links.effective_from <= days.production_date
            and (links.effective_to is null or links.effective_to > days.production_date)
    where links.from_type = 'well' and links.to_type = 'facility'
)

select
    production_date,
    well_id,
    facility_id
from links
where nth = 1
