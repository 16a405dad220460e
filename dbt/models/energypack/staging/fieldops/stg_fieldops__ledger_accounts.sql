with latest as (
    {{ latest('fieldops', 'ledger_accounts') }}
),

renamed as (
    select
        account_no,
        account_name,
        account_kind
    from latest
)

select * from renamed
