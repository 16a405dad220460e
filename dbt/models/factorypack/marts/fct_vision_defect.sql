with inspections as (
    select * from {{ ref('fct_vision_inspection') }}
),

defects as (
    select * from {{ ref('stg_plant_files__vision_defects') }}
)

select
    inspections.calendar,
    inspections.shift_id,
    inspections.production_date,
    inspections.inspection_id,
    defects.defect_number,
    inspections.camera_id,
    inspections.station_id,
    inspections.line_id,
    inspections.product_id,
    inspections.serial,
    inspections.inspected_at,
    inspections.hour_started_at,
    inspections.verdict,
    inspections.is_first,
    defects.defect_class,
    cast({{ factorypack_confidence("defects.confidence") }} as decimal(18, 6)) as confidence,
    cast(defects.x_min_px as decimal(18, 3)) as x_min_px,
    cast(defects.y_min_px as decimal(18, 3)) as y_min_px,
    cast(defects.x_max_px as decimal(18, 3)) as x_max_px,
    cast(defects.y_max_px as decimal(18, 3)) as y_max_px
from inspections
inner join defects on inspections.inspection_id = defects.inspection_id
