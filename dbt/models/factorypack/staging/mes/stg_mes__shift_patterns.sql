with latest as (
    {{ latest('mes', 'shift_patterns') }}
),

renamed as (
    select
        pattern_id,
        shift,
        name as shift_name,
        starts_at as starts_at_local,
        ends_at as ends_at_local
    from latest
)

select * from renamed
