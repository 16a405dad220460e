with latest as (
    {{ latest('fieldops', 'ownership_decks') }}
),

renamed as (
    select
        deck_id,
        well_id,
        owner_name,
        interest_type,
        decimal_interest,
        effective_from,
        effective_to
    from latest
)

select * from renamed
