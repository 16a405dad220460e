with latest as (
    {{ latest('mes', 'stations') }}
),

renamed as (
    select
        station_id,
        line_id,
        name as station_name,
        position as place_in_line,
        is_pacing,
        vocabulary
    from latest
)

select * from renamed
