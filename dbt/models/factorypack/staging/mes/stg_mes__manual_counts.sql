with latest as (
    {{ latest('mes', 'manual_counts') }}
),

renamed as (
    select
        count_id,
        line_id,
        station_id,
        shift_date as production_date,
        shift,
        good_units,
        scrap_units,
        rework_units,
        entered_by,
        entered_at
    from latest
)

select * from renamed
