"""Small partner files that can be checked by eye."""

FLOW_HEADER = (
    "DateTime, diff_pressure_inH20, static_pressure_psia, temperature_degF, volume_mcf, "
    "flow_rate_mcf_day, energy_mmbtu, flow_time_pct, alarms"
)
DAILY_HEADER = (
    "DATEPRD,WELL_BORE_CODE,NPD_WELL_BORE_CODE,NPD_WELL_BORE_NAME,NPD_FIELD_CODE,NPD_FIELD_NAME,NPD_FACILITY_CODE,"
    "NPD_FACILITY_NAME,ON_STREAM_HRS,AVG_DOWNHOLE_PRESSURE,AVG_DOWNHOLE_TEMPERATURE,AVG_DP_TUBING,AVG_ANNULUS_PRESS,"
    "AVG_CHOKE_SIZE_P,AVG_CHOKE_UOM,AVG_WHP_P,AVG_WHT_P,DP_CHOKE_SIZE,BORE_OIL_VOL,BORE_GAS_VOL,BORE_WAT_VOL,"
    "BORE_WI_VOL,FLOW_KIND,WELL_TYPE"
)


def hour(day: str, start: int, volume: str = "10.5", end: int | None = None) -> str:
    """One line of a flow computer: the local hour `start` of `day`."""
    return (
        f"{day} {start:02d}:00-{(start + 1) % 24 if end is None else end:02d}:00,12.1,640.2,71.3,{volume},252,11,100,"
    )


def flow(*lines: str, header: str = FLOW_HEADER) -> str:
    return "\n".join([header, *lines]) + "\n"


def flow_day(day: str, volume: str = "10.5") -> str:
    """An ordinary day of 24 equal hours."""
    return flow(*(hour(day, start, volume) for start in range(24)))


def well_day(date: str, oil: str = "100.25", well: str = "NO 15/9-F-1 C", facility: str = "MÆRSK INSPIRER") -> str:
    return (
        f"{date},{well},7405,15/9-F-1 C,3420717,VOLVE,369304,{facility},24.0,,,,,,%,,,,{oil},0.5,-0.25,,production,OP"
    )


def daily(*lines: str, header: str = DAILY_HEADER) -> str:
    return "\n".join([header, *lines]) + "\n"
