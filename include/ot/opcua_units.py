"""The unit names of the dictionary (`kpa`, `bbl_per_d`, …) from what OPC UA servers say in EngineeringUnits."""

import re

from asyncua import ua

BY_CODE = {  # UNECE Recommendation 20, which OPC UA packs into the unit's number
    "KPA": "kpa",
    "PAL": "pa",
    "MPA": "mpa",
    "BAR": "bar",
    "MBR": "mbar",
    "PS": "psi",
    "ATM": "atm",
    "CEL": "degc",
    "FAH": "degf",
    "KEL": "k",
    "P1": "pct",
    "C62": "1",
    "MTR": "m",
    "MMT": "mm",
    "FOT": "ft",
    "MTQ": "m3",
    "LTR": "l",
    "BLL": "bbl",
    "MQH": "m3_per_h",
    "MQS": "m3_per_s",
    "G52": "m3_per_d",
    "B1": "bbl_per_d",
    "KGM": "kg",
    "TNE": "t",
    "E93": "kg_per_h",
    "KMQ": "kg_per_m3",
    "HTZ": "hz",
    "RPM": "rpm",
    "AMP": "a",
    "VLT": "v",
    "WTT": "w",
    "KWT": "kw",
    "KWH": "kwh",
    "SEC": "s",
    "MIN": "min",
    "HUR": "h",
    "MTS": "m_per_s",
    "2X": "m_per_min",
}
BY_TEXT = {
    "°c": "degc",
    "c": "degc",
    "deg c": "degc",
    "°f": "degf",
    "f": "degf",
    "deg f": "degf",
    "%": "pct",
    "percent": "pct",
    "psig": "psi",
    "bopd": "bbl_per_d",
    "bpd": "bbl_per_d",
    "mscf/d": "mcf_per_d",
    "mscfd": "mcf_per_d",
    "mcfd": "mcf_per_d",
    "-": "1",
}


def unit_name(units: ua.EUInformation | None) -> str:
    """The unit as the dictionary writes it; empty where the server does not say.

    What a person reads comes first: vendors set the number wrong, or to one for all, more often than the text.
    """
    if units is None:
        return ""
    text = (units.DisplayName.Text or "").strip() if units.DisplayName else ""
    code = unit_code(units.UnitId)
    if not text:
        return BY_CODE.get(code, "")
    known = BY_TEXT.get(text.lower())
    if known:
        return known
    plain = text.lower().translate(str.maketrans("³²°µ", "32 u"))
    return re.sub(r"[^a-z0-9]+", "_", plain.replace("/", " per ")).strip("_")


def unit_code(number: int | None) -> str:
    """The UNECE code whose characters make up a unit's number."""
    if not number or number < 0:
        return ""
    return number.to_bytes((number.bit_length() + 7) // 8, "big").decode("ascii", "replace")
