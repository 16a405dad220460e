select
    well_id,
    well_name,
    field_code,
    calendar,
    well_type,
    status,
    first_production_date,
    cast(latitude as decimal(9, 6)) as latitude,
    cast(longitude as decimal(9, 6)) as longitude,
    crs,
    origin
from {{ ref('int_wells') }}
where calendar = '{{ var("calendar") }}'
