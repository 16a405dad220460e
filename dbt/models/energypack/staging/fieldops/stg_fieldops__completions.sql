with latest as (
    {{ latest('fieldops', 'completions') }}
),

renamed as (
    select
        completion_id,
        well_id,
        reservoir,
        top_md_m,
        base_md_m,
        lift_type,
        completed_on,
        abandoned_on
    from latest
)

select * from renamed
