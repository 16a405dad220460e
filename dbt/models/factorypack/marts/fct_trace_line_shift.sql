with stations as (
    select * from {{ ref('fct_trace_station_shift') }}
),

limits as (
    select * from {{ ref('factorypack_trace') }}
),

asked as (
    select
        shift_id,
        line_id,
        cast(sum(expected_units) as bigint) as expected_units
    from {{ ref('int_trace_expected') }}
    group by shift_id, line_id
),

units as (
    select
        shift_id,
        line_id,
        serial,
        min(case when is_scanned then 1 else 0 end) as is_scanned,
        max(case when is_scanned_anywhere then 1 else 0 end) as is_scanned_anywhere
    from {{ ref('int_trace_unit_scans') }}
    group by shift_id, line_id, serial
),

{# Units with a component of which nothing is known, or without any component. #}
components as (
    select
        units.shift_id,
        units.serial,
        min(case when links.input_kind = 'unknown' then 0 else 1 end) as is_known
    from units
    inner join {{ ref('int_trace_shifts') }} as shifts on units.shift_id = shifts.shift_id
    inner join {{ ref('int_trace_links') }} as links on units.serial = links.output_id and shifts.to_ms > links.linked_ms
    where links.kind = 'assembled'
    group by units.shift_id, units.serial
),

counted as (
    select
        units.shift_id,
        units.line_id,
        count(*) as serial_units,
        sum(1 - units.is_scanned_anywhere) as never_scanned_units,
        sum(units.is_scanned * coalesce(components.is_known, 0)) as complete_units
    from units
    left join components on units.shift_id = components.shift_id and units.serial = components.serial
    group by units.shift_id, units.line_id
),

summed as (
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        basis,
        cast(sum(expected_units) as bigint) as expected_scans,
        cast(sum(scanned_units) as bigint) as scans,
        cast(sum(no_read_units) as bigint) as no_read_scans,
        cast(sum(not_scanned_units) as bigint) as not_scanned_scans,
        cast({{ ratio("sum(scanned_units)", "sum(expected_units)", 6) }} as decimal(18, 6)) as coverage
    from stations
    group by calendar, shift_id, production_date, line_id, basis
)

select
    summed.calendar,
    summed.shift_id,
    summed.production_date,
    summed.line_id,
    summed.basis,
    asked.expected_units,
    cast(coalesce(counted.serial_units, 0) as bigint) as serial_units,
    cast(coalesce(counted.complete_units, 0) as bigint) as complete_units,
    summed.expected_scans,
    summed.scans,
    summed.expected_scans - summed.scans as missing_scans,
    cast(coalesce(counted.never_scanned_units, 0) as bigint) as never_scanned_units,
    summed.no_read_scans,
    summed.not_scanned_scans,
    summed.coverage,
    cast({{ ratio("coalesce(counted.complete_units, 0)", "asked.expected_units", 6) }} as decimal(18, 6)) as complete_share,
    cast(limits.least_coverage as decimal(9, 6)) as least_coverage,
    cast(limits.target_coverage as decimal(9, 6)) as target_coverage,
    coalesce(summed.coverage < limits.least_coverage, false) as is_below_least,
    coalesce(summed.coverage < limits.target_coverage, false) as is_below_target,
    coalesce(summed.coverage > 1, false) as is_over_100
from summed
inner join asked on summed.shift_id = asked.shift_id and summed.line_id = asked.line_id
inner join limits on summed.line_id = limits.line_id
left join counted on summed.shift_id = counted.shift_id and summed.line_id = counted.line_id
