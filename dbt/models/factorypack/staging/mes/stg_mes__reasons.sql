with latest as (
    {{ latest('mes', 'reasons') }}
),

renamed as (
    select
        reason_code,
        level_1,
        level_2,
        level_3,
        is_planned,
        is_setup
    from latest
)

select * from renamed
