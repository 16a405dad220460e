-- The manufacturing execution system of the site Riverside: three lines, their orders, stops and units.

create table lines (
    line_id text primary key,
    site text not null,
    name text not null,
    micro_stop_s integer not null  -- a stop shorter than this is a micro-stop
);

create table stations (
    station_id text primary key,
    line_id text not null references lines,
    name text not null,
    position integer not null,  -- place in the line, from 1
    is_pacing boolean not null,  -- its states and counts stand for the line
    vocabulary text not null check (vocabulary in ('mtconnect', 'packml', 'line'))
);

create table products (
    product_id text primary key,
    family text not null,
    name text not null
);

create table routings (
    product_id text not null references products,
    station_id text not null references stations,
    ideal_cycle_time_s numeric(12, 3) not null,  -- a unit
    primary key (product_id, station_id)
);

create table reasons (
    reason_code text primary key,
    level_1 text not null,
    level_2 text not null,
    level_3 text not null,
    is_planned boolean not null,
    is_setup boolean not null
);

create table shift_patterns (
    pattern_id text primary key,
    shift integer not null,
    name text not null,
    starts_at time not null,  -- by the clock on the wall
    ends_at time not null
);

create table production_orders (
    order_id text primary key,
    line_id text not null references lines,
    product_id text not null references products,
    quantity_ordered integer not null,
    started_at timestamptz not null,
    ended_at timestamptz,  -- null while the line works on it
    status text not null
);
create index on production_orders (line_id, started_at);

create table planned_stops (
    planned_stop_id text primary key,
    line_id text not null references lines,
    station_id text references stations,  -- null: the whole line
    from_at timestamptz not null,
    to_at timestamptz not null,
    reason_code text not null references reasons
);

create table serials (
    serial text primary key,
    order_id text not null references production_orders,
    product_id text not null references products,
    made_at timestamptz not null,
    status text not null  -- when it left the line
);

create table inspections (
    inspection_id text primary key,
    serial text not null references serials,
    station_id text not null references stations,
    order_id text not null references production_orders,
    product_id text not null references products,
    inspected_at timestamptz not null,
    result text not null,
    defect_code text
);
create index on inspections (serial);

create table component_genealogy (
    genealogy_id text primary key,
    serial text not null references serials,
    component_serial text not null,  -- a unit's serial number, or a lot
    component_product_id text not null,
    quantity numeric(12, 3) not null,
    station_id text not null references stations,
    assembled_at timestamptz not null
);
create index on component_genealogy (serial);
create index on component_genealogy (component_serial);

create table station_scans (
    scan_id text primary key,
    serial text not null references serials,
    station_id text not null references stations,
    entered_at timestamptz not null,
    left_at timestamptz not null
);
create index on station_scans (serial);

create table work_orders (
    work_order_id text primary key,
    station_id text not null references stations,
    kind text not null,
    opened_at timestamptz not null,
    closed_at timestamptz,  -- null while it is open
    description text not null
);

-- What people write down.
create table manual_log (
    log_id text primary key,
    line_id text not null references lines,
    station_id text not null references stations,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    reason_code text not null references reasons,
    entered_by text not null,
    entered_at timestamptz not null
);

create table manual_counts (
    count_id text primary key,
    line_id text not null references lines,
    station_id text not null references stations,
    shift_date date not null,  -- local date on which the shift starts
    shift integer not null,
    good_units integer not null,
    scrap_units integer not null,
    rework_units integer not null,
    entered_by text not null,
    entered_at timestamptz not null
);

create table manual_corrections (
    correction_id text primary key,
    station_id text not null references stations,
    from_at timestamptz not null,
    to_at timestamptz not null,
    what text not null check (what in ('reason', 'state', 'good_units', 'scrap_units', 'rework_units')),
    value text not null,
    why text not null,
    entered_by text not null,
    entered_at timestamptz not null
);
