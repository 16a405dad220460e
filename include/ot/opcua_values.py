"""From an OPC UA DataValue to a `Sample`, for the bridge, the history and the probe alike.

*Quality.* Severity and sub-code of the status are kept, the info bits (limits, overflow, semantics changed) are not:
they say something about the server's queue or range, which is a gap or a note, and with them the same Good would
be stored under many numbers.

*Values.* Numbers, flags and texts pass as they are, an enumeration as its integer, a time as ISO text in UTC. What
is no scalar (array, structure, bytes) has no column to go to: it is bad, with the reason in the bridge's state.
"""

from datetime import UTC, datetime

from asyncua import ua
from asyncua.ua import status_codes

from include.ot.reading import BAD_NO_DATA, BAD_TYPE_MISMATCH, Sample, Value, is_bad

QUALITY = 0xFFFF0000  # severity and sub-code
DATA_VALUE_INFO = 0x0400  # the info bits below say something about a value
OVERFLOW = 0x0080

_PLAIN = frozenset(
    {
        ua.VariantType.Double,
        ua.VariantType.Float,
        ua.VariantType.Boolean,
        ua.VariantType.SByte,
        ua.VariantType.Byte,
        ua.VariantType.Int16,
        ua.VariantType.UInt16,
        ua.VariantType.Int32,
        ua.VariantType.UInt32,
        ua.VariantType.Int64,
        ua.VariantType.UInt64,
        ua.VariantType.String,
    }
)
_NULL_TIME = ua.get_win_epoch()  # 1601-01-01, how a DateTime says that it is none


def sample_of(tag_id: str, data: ua.DataValue, received_at: datetime) -> tuple[Sample, str | None]:
    """The sample, and why its value cannot be mirrored where it cannot."""
    code = data.StatusCode.value
    quality = code & QUALITY
    variant = data.Value
    reason = None
    if variant is None or variant.Value is None:
        value: Value = None
        if quality >> 30 < 2:
            quality = BAD_NO_DATA
    elif variant.VariantType in _PLAIN and not variant.is_array:
        value = variant.Value
        if isinstance(value, str):
            value = _text(value)
    else:
        value, reason = _scalar(variant)
        if reason:
            quality = BAD_TYPE_MISMATCH
    if is_bad(quality) and not isinstance(value, str):
        value = None
    return Sample(tag_id, value, quality, _time(data.SourceTimestamp), _time(data.ServerTimestamp), received_at), reason


def is_overflowed(data: ua.DataValue) -> bool:
    """Whether the server's queue of this item ran over just before this value."""
    return data.StatusCode.value & (DATA_VALUE_INFO | OVERFLOW) == DATA_VALUE_INFO | OVERFLOW


def quality_name(quality: int) -> str:
    """`Good (0x00000000)`, `BadSensorFailure (0x808C0000)` …"""
    name, _ = status_codes.get_name_and_doc(quality & QUALITY)
    return f"{name} (0x{quality:08X})"


def _time(moment: datetime | None) -> datetime | None:
    if moment is None or moment == _NULL_TIME:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(value: str) -> str:
    """The text without the NULs that controllers pad with, and with a sign for bytes that are no UTF-8."""
    if value.isascii():
        return value.replace("\0", "")
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")


def _scalar(variant: ua.Variant) -> tuple[Value, str | None]:
    """The value of the rarer types, or none and the reason."""
    value = variant.Value
    if variant.is_array or isinstance(value, list | tuple):
        return None, f"The node holds an array of {len(value)}; only single values are mirrored"
    if isinstance(value, datetime):
        at = _time(value)
        return at.isoformat(timespec="microseconds") if at else "", None
    if isinstance(value, ua.LocalizedText):
        return _text(value.Text or ""), None
    if isinstance(value, ua.StatusCode):
        return int(value.value), None
    if isinstance(value, ua.QualifiedName):
        return _text(value.Name or ""), None
    if isinstance(value, ua.NodeId):
        return value.to_string(), None
    if getattr(variant.VariantType, "name", "") == "Guid":
        return str(value), None
    if isinstance(value, bool | int | float | str):
        return value, None
    kind = getattr(variant.VariantType, "name", variant.VariantType)
    return None, f"The node holds a {kind}; only numbers, flags, texts and times are mirrored"
