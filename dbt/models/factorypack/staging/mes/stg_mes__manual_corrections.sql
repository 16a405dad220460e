with latest as (
    {{ latest('mes', 'manual_corrections') }}
),

renamed as (
    select
        correction_id,
        station_id,
        from_at,
        to_at,
        what,
        value as new_value,
        why,
        entered_by,
        entered_at
    from latest
)

select * from renamed
