with latest as (
    {{ latest('npd', 'daily_production') }}
),

renamed as (
    select
        well_bore_code as well_id,
        dateprd as production_date,
        npd_well_bore_code,
        npd_well_bore_name as well_name,
        npd_field_code,
        npd_field_name as field_code,
        npd_facility_code as facility_id,
        npd_facility_name as facility_name,
        on_stream_hrs as hours_on,
        avg_downhole_pressure as downhole_pressure_bar,
        avg_downhole_temperature as downhole_temperature_degc,
        avg_dp_tubing as tubing_pressure_drop_bar,
        avg_annulus_press as annulus_pressure_bar,
        avg_choke_size_p as choke_size,
        avg_choke_uom as choke_unit,
        avg_whp_p as wellhead_pressure_bar,
        avg_wht_p as wellhead_temperature_degc,
        dp_choke_size as choke_pressure_drop_bar,
        bore_oil_vol as oil_sm3,
        bore_gas_vol as gas_sm3,
        bore_wat_vol as water_sm3,
        bore_wi_vol as water_injected_sm3,
        flow_kind,
        well_type
    from latest
)

select * from renamed
