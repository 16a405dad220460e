with latest as (
    {{ latest('plant_files', 'vision_results') }}
),

renamed as (
    select
        inspection_id,
        camera_id,
        station_id,
        product_id,
        serial,
        inspected_at_utc as inspected_at,
        confidence,
        image_uri,
        model_version,
        lower(verdict) as verdict
    from latest
)

select * from renamed
