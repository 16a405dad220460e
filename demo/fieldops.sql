-- The field operations database of the simulated operator. Local times stand without a zone, as field systems keep them.
create table fields (
    field_code text primary key,
    field_name text not null,
    zone text not null,
    unit_system text not null check (unit_system in ('us', 'metric')),
    updated_at timestamptz not null
);

create table facilities (
    facility_id text primary key,
    facility_name text not null,
    facility_type text not null check (facility_type in ('pad', 'battery', 'platform')),
    field_code text not null references fields,
    latitude numeric(9, 6) not null,
    longitude numeric(9, 6) not null,
    crs text not null
);

create table wells (
    well_id text primary key,
    well_name text not null,
    field_code text not null references fields,
    well_type text not null check (well_type in ('oil_producer', 'gas_producer', 'water_injector')),
    status text not null,
    first_production_date date not null,
    latitude numeric(9, 6) not null,
    longitude numeric(9, 6) not null,
    crs text not null,
    remarks text,
    updated_at timestamptz not null
);

create table completions (
    completion_id bigint primary key,
    well_id text not null references wells,
    reservoir text not null,
    top_md_m numeric(8, 2) not null,
    base_md_m numeric(8, 2) not null,
    lift_type text not null,
    completed_on date not null,
    abandoned_on date
);

create table meters (
    meter_id text primary key,
    meter_name text not null,
    facility_id text not null references facilities,
    meter_role text not null check (meter_role in ('sales', 'check', 'fuel', 'flare')),
    product text not null check (product in ('oil', 'gas', 'water')),
    volume_unit text not null
);

-- well -> facility (its pad or battery), facility -> meter; effective_to is exclusive, null is open.
create table network_links (
    link_id bigint primary key,
    from_type text not null check (from_type in ('well', 'facility')),
    from_id text not null,
    to_type text not null check (to_type in ('facility', 'meter')),
    to_id text not null,
    effective_from date not null,
    effective_to date
);

-- One row per well and contract day; liquid_unit is bbl or sm3, gas_unit mcf or sm3.
create table daily_readings (
    reading_id bigint primary key,
    well_id text not null references wells,
    production_date date not null,
    oil_volume numeric(18, 6),
    gas_volume numeric(18, 6),
    water_volume numeric(18, 6),
    water_injected_volume numeric(18, 6),
    liquid_unit text not null check (liquid_unit in ('bbl', 'sm3')),
    gas_unit text not null check (gas_unit in ('mcf', 'sm3')),
    hours_on numeric(6, 3),
    tubing_pressure_psi numeric(10, 2),
    casing_pressure_psi numeric(10, 2),
    choke_64ths numeric(6, 2),
    recorded_at timestamptz not null,
    unique (well_id, production_date)
);

-- An existing user's own table: rates are bbl/d, Mcf/d, bbl/d; pressures psi; dt is local time.
create table well_tests (
    id bigint primary key,
    well_id text not null references wells,
    dt timestamp not null,
    oil_rate numeric(14, 4),
    gas_rate numeric(14, 4),
    water_rate numeric(14, 4),
    tubing_pressure numeric(10, 2),
    casing_pressure numeric(10, 2)
);

create table well_test_details (
    well_test_id bigint primary key references well_tests (id) on update cascade on delete cascade,
    duration_h numeric(6, 2),
    stabilisation_h numeric(6, 2),
    choke_64ths numeric(6, 2),
    bsw_pct numeric(6, 3),
    remarks text
);

-- asset_id is a well or a facility; fraction_down 1 is a full stop, less is choked. Times are local.
create table downtime_events (
    event_id bigint primary key,
    asset_type text not null check (asset_type in ('well', 'facility')),
    asset_id text not null,
    started_at timestamp not null,
    ended_at timestamp,
    reason_code text not null,
    is_planned boolean not null,
    fraction_down numeric(4, 3) not null check (fraction_down > 0 and fraction_down <= 1),
    remarks text
);

create table tank_gauges (
    gauge_id bigint primary key,
    facility_id text not null references facilities,
    tank_id text not null,
    production_date date not null,
    opening_stock numeric(18, 6) not null,
    closing_stock numeric(18, 6) not null,
    volume_unit text not null,
    unique (tank_id, production_date)
);

create table meter_volumes (
    meter_volume_id bigint primary key,
    meter_id text not null references meters,
    production_date date not null,
    volume numeric(18, 6) not null,
    volume_unit text not null,
    unique (meter_id, production_date)
);

create table run_tickets (
    ticket_id bigint primary key,
    facility_id text not null references facilities,
    tank_id text not null,
    ticket_at timestamp not null,
    net_volume numeric(18, 6) not null,
    volume_unit text not null,
    bsw_pct numeric(6, 3) not null,
    api_gravity numeric(6, 2) not null,
    purchaser text not null
);

create table facility_volumes (
    facility_volume_id bigint primary key,
    facility_id text not null references facilities,
    production_date date not null,
    use_kind text not null check (use_kind in ('fuel', 'flare', 'vent', 'gas_injection', 'water_injection')),
    product text not null check (product in ('gas', 'water')),
    volume numeric(18, 6) not null,
    volume_unit text not null,
    unique (facility_id, production_date, use_kind)
);

create table prices (
    price_id bigint primary key,
    field_code text not null references fields,
    product text not null,
    effective_on date not null,
    price_usd numeric(14, 6) not null,
    price_unit text not null
);

create table ownership_decks (
    deck_id bigint primary key,
    well_id text not null references wells,
    owner_name text not null,
    interest_type text not null check (interest_type in ('WI', 'NRI')),
    decimal_interest numeric(9, 8) not null,
    effective_from date not null,
    effective_to date
);

create table taxes (
    tax_id bigint primary key,
    field_code text not null references fields,
    tax_name text not null,
    product text not null,
    tax_rate numeric(9, 6) not null,
    effective_from date not null,
    effective_to date
);

create table ledger_accounts (
    account_no text primary key,
    account_name text not null,
    account_kind text not null
);

create table ledger_entries (
    entry_id bigint primary key,
    journal_id bigint not null,
    posted_on date not null,
    account_no text not null references ledger_accounts,
    well_id text references wells,
    debit_usd numeric(18, 2) not null,
    credit_usd numeric(18, 2) not null,
    memo text
);

create table work_orders (
    work_order_id bigint primary key,
    well_id text references wells,
    facility_id text references facilities,
    opened_at timestamptz not null,
    closed_at timestamptz,
    order_kind text not null,
    description text,
    cost_usd numeric(18, 2),
    attributes jsonb
);

-- Text that PostgreSQL may store out of line must arrive whole when another column changes.
alter table wells replica identity full;
alter table well_test_details replica identity full;
alter table downtime_events replica identity full;
alter table ledger_entries replica identity full;
alter table work_orders replica identity full;
