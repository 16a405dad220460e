with latest as (
    {{ latest('fieldops', 'fields') }}
),

renamed as (
    select
        field_code,
        field_name,
        zone,
        unit_system,
        updated_at
    from latest
)

select * from renamed
