"""Which figures of the pack a close report shows."""

from include.publish.report_data import Figure, Layout

LAYOUT = Layout(
    totals="fct_field_production_daily",
    part="field_code",
    part_label="Field",
    ranked="fct_well_production_daily",
    entity="well_id",
    entity_label="Well",
    figures=(
        Figure("oil_sm3", "Oil", "Sm³"),
        Figure("gas_sm3", "Gas", "Sm³"),
        Figure("water_sm3", "Water", "Sm³", better=None),
        Figure("water_injected_sm3", "Water injected", "Sm³", better=None),
        Figure("hours_on", "Hours on stream", "h"),
        Figure("downtime_h", "Downtime", "h", better="less"),
        Figure("scada_hours_on", "Hours on by SCADA", "h", better=None),
        Figure("scada_oil_sm3", "Oil by SCADA", "Sm³", better=None),
    ),
    ranked_by=("oil_sm3", "gas_sm3"),
)
