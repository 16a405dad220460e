with expected as (
    select
        expected.calendar,
        expected.shift_id,
        expected.production_date,
        expected.line_id,
        stations.station_id,
        expected.basis,
        expected.least_coverage,
        expected.target_coverage,
        cast(sum(case when routes.station_id is null then 0 else expected.expected_units end) as bigint) as expected_units
    from {{ ref('int_trace_expected') }} as expected
    inner join {{ ref('int_stations') }} as stations on expected.line_id = stations.line_id
    left join {{ ref('int_trace_routes') }} as routes
        on
            expected.line_id = routes.line_id
            and expected.product_id = routes.product_id
            and stations.station_id = routes.station_id
    group by
        expected.calendar,
        expected.shift_id,
        expected.production_date,
        expected.line_id,
        stations.station_id,
        expected.basis,
        expected.least_coverage,
        expected.target_coverage
),

found as (
    select
        shift_id,
        station_id,
        count(*) as serial_units,
        sum(case when is_scanned then 1 else 0 end) as scanned_units,
        sum(case when not is_scanned_anywhere then 1 else 0 end) as never_scanned_units
    from {{ ref('int_trace_unit_scans') }}
    group by shift_id, station_id
),

blind as (
    select
        shifts.shift_id,
        visits.station_id,
        count(*) as no_reads
    from {{ ref('int_trace_visits') }} as visits
    inner join {{ ref('int_trace_shifts') }} as shifts on visits.left_ms >= shifts.from_ms and visits.left_ms < shifts.to_ms
    where visits.serial is null
    group by shifts.shift_id, visits.station_id
),

joined as (
    select
        expected.calendar,
        expected.shift_id,
        expected.production_date,
        expected.line_id,
        expected.station_id,
        expected.basis,
        expected.least_coverage,
        expected.target_coverage,
        expected.expected_units,
        cast(coalesce(found.serial_units, 0) as bigint) as serial_units,
        cast(coalesce(found.scanned_units, 0) as bigint) as scanned_units,
        cast(coalesce(found.never_scanned_units, 0) as bigint) as never_scanned_units,
        cast(coalesce(blind.no_reads, 0) as bigint) as no_reads
    from expected
    left join found on expected.shift_id = found.shift_id and expected.station_id = found.station_id
    left join blind on expected.shift_id = blind.shift_id and expected.station_id = blind.station_id
),

missed as (
    select
        *,
        serial_units - scanned_units - never_scanned_units as passed_by_units,
        cast({{ ratio("scanned_units", "expected_units", 6) }} as decimal(18, 6)) as coverage
    from joined
)

select
    calendar,
    shift_id,
    production_date,
    line_id,
    station_id,
    basis,
    expected_units,
    serial_units,
    scanned_units,
    expected_units - scanned_units as missing_units,
    expected_units - serial_units as without_serial_units,
    never_scanned_units,
    {{ earlier_of("no_reads", "passed_by_units") }} as no_read_units,
    passed_by_units - {{ earlier_of("no_reads", "passed_by_units") }} as not_scanned_units,
    no_reads,
    coverage,
    coalesce(coverage < least_coverage, false) as is_below_least,
    coalesce(coverage < target_coverage, false) as is_below_target,
    coalesce(coverage > 1, false) as is_over_100
from missed
