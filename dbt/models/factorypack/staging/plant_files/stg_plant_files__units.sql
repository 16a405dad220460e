with latest as (
    {{ latest('plant_files', 'units') }}
),

renamed as (
    select
        serial,
        order_id,
        line_id,
        product_id,
        made_at_utc as made_at,
        lower(status) as serial_status
    from latest
)

select * from renamed
