with latest as (
    {{ latest('plant_files', 'vision_defects') }}
),

renamed as (
    select
        inspection_id,
        defect_number,
        defect_class,
        confidence,
        x_min_px,
        y_min_px,
        x_max_px,
        y_max_px
    from latest
)

select * from renamed
