with latest as (
    {{ latest('fieldops', 'ledger_entries') }}
),

renamed as (
    select
        entry_id,
        journal_id,
        posted_on,
        account_no,
        well_id,
        debit_usd,
        credit_usd,
        {{ carried('memo') }} as memo
    from latest
)

select * from renamed
