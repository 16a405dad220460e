with latest as (
    {{ latest('fieldops', 'network_links') }}
),

renamed as (
    select
        link_id,
        from_type,
        from_id,
        to_type,
        to_id,
        effective_from,
        effective_to
    from latest
)

select * from renamed
