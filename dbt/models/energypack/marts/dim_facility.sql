select
    facility_id,
    facility_name,
    facility_type,
    field_code,
    calendar,
    cast(latitude as decimal(9, 6)) as latitude,
    cast(longitude as decimal(9, 6)) as longitude,
    crs,
    origin
from {{ ref('int_facilities') }}
where calendar = '{{ var("calendar") }}'
