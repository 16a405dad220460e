-- What the manufacturing execution system knows of lots, and of the units that left the plant.

create table lots (
    lot_id text primary key,
    site text not null,
    product_id text not null,
    supplier text,  -- null for a lot that was made here
    quantity_received numeric(14, 3) not null,  -- 0 for a lot that was made here: its transformation says how much
    unit text not null,
    created_at timestamptz not null
);

-- One row per lot or unit that goes into or comes out of a transformation, and per loss that was declared.
create table lot_transformations (
    movement_id text primary key,
    transformation_id text not null,
    site text not null,
    kind text not null check (kind in ('split', 'merge', 'blend', 'rework', 'write_off')),
    role text not null check (role in ('input', 'output', 'loss')),
    item_id text,  -- a lot, or a unit's serial number; null for a loss
    product_id text,
    quantity numeric(14, 3) not null,
    unit text not null,
    reason text,  -- of a loss
    happened_at timestamptz not null
);
create index on lot_transformations (item_id);

create table shipments (
    shipment_id text primary key,
    site text not null,
    serial text not null,
    customer text not null,
    sales_order text not null,
    shipped_at timestamptz not null
);
create index on shipments (serial);

alter table station_scans alter column serial drop not null;  -- null: the scanner read nothing
