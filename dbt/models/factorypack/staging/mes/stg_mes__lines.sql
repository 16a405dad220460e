with latest as (
    {{ latest('mes', 'lines') }}
),

renamed as (
    select
        line_id,
        site,
        name as line_name,
        micro_stop_s
    from latest
)

select * from renamed
