"""The payload of a Sparkplug B message: protobuf in, metrics with plain values out; and a command, for a rebirth.

The few messages are described here by the field numbers of the Eclipse Sparkplug 3.0 specification, so that a bridge
needs nothing but the protobuf runtime. What is not mirrored (data sets, templates, bytes, arrays) stays opaque.
"""

import zlib
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from include.errors import PayloadError
from include.ot.reading import BAD, BAD_NO_DATA, BAD_OUT_OF_RANGE, GOOD, UNCERTAIN, Value, moment

UNCERTAIN_LAST_USABLE = 0x40900000  # the value was right when it was last heard
REBIRTH = "Node Control/Rebirth"
COMPRESSED = "SPBV1.0_COMPRESSED"
MAX_UNPACKED = 16 * 2**20  # a compressed payload may not grow beyond this
LATEST_MS = 253_402_300_799_999  # the last millisecond that a date can hold

TYPES = {
    1: "Int8",
    2: "Int16",
    3: "Int32",
    4: "Int64",
    5: "UInt8",
    6: "UInt16",
    7: "UInt32",
    8: "UInt64",
    9: "Float",
    10: "Double",
    11: "Boolean",
    12: "String",
    13: "DateTime",
    14: "Text",
    15: "UUID",
    16: "DataSet",
    17: "Bytes",
    18: "File",
    19: "Template",
    20: "PropertySet",
    21: "PropertySetList",
    22: "Int8Array",
    23: "Int16Array",
    24: "Int32Array",
    25: "Int64Array",
    26: "UInt8Array",
    27: "UInt16Array",
    28: "UInt32Array",
    29: "UInt64Array",
    30: "FloatArray",
    31: "DoubleArray",
    32: "BooleanArray",
    33: "StringArray",
    34: "DateTimeArray",
}
UNKNOWN, BOOLEAN, DATETIME = 0, 11, 13
MIRRORED = range(1, 16)
_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64, DATETIME: 64}
_SIGNED = (1, 2, 3, 4)
_NUMBERS = ("int_value", "long_value", "float_value", "double_value", "boolean_value")
_UNITS = ("engunit", "engunits", "unit", "units")

_FIELDS = {
    "Payload": "timestamp=1 uint64, metrics=2 *Metric, seq=3 uint64, uuid=4 string, body=5 bytes",
    "Metric": "name=1 string, alias=2 uint64, timestamp=3 uint64, datatype=4 uint32, is_historical=5 bool, "
    "is_transient=6 bool, is_null=7 bool, metadata=8 MetaData, properties=9 PropertySet, "
    "int_value=10 uint32 of, long_value=11 uint64 of, float_value=12 float of, double_value=13 double of, "
    "boolean_value=14 bool of, string_value=15 string of, bytes_value=16 bytes of, dataset_value=17 bytes of, "
    "template_value=18 bytes of, extension_value=19 bytes of",
    "MetaData": "description=8 string",
    "PropertySet": "keys=1 *string, values=2 *PropertyValue",
    "PropertyValue": "type=1 uint32, is_null=2 bool, int_value=3 uint32 of, long_value=4 uint64 of, "
    "float_value=5 float of, double_value=6 double of, boolean_value=7 bool of, string_value=8 string of",
}


def _described() -> type:
    """The class of a payload. "*" is a repeated field, "of" a member of the `value` that a metric has one of."""
    described = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="spb", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = described.message_type.add(name=name)
        if " of" in fields:
            message.oneof_decl.add(name="value")
        for field in fields.split(", "):
            what, kind, *of = field.split(" ")
            label, number = what.split("=")
            repeated, kind = kind.startswith("*"), kind.removeprefix("*")
            entry = message.field.add(name=label, number=int(number))
            entry.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _FIELDS:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".spb.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if of:
                entry.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


Message = _described()  # the protobuf class; `metrics.add(name=…, int_value=…)` builds one


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it came. `field` and `raw` are the protobuf member that is set and what it holds."""

    name: str  # empty where only the alias is told
    alias: int | None
    at_us: int | None
    datatype: int  # 0 where the message leaves it to the birth
    is_historical: bool
    is_null: bool
    field: str | None
    raw: Any
    properties: dict[str, Any]
    description: str

    @property
    def unit(self) -> str:
        return next((str(value) for key, value in self.properties.items() if key.lower() in _UNITS and value), "")

    @property
    def quality(self) -> int:
        """The OPC UA status of the property `Quality`: 192 is good, 500 stale, 0 bad.

        What senders tell beside these is read by its two highest bits: of 8 as in classic OPC, else of 32.
        """
        told = self.properties.get("Quality")
        if not isinstance(told, int) or told == 192:
            return GOOD
        if told == 500:
            return UNCERTAIN_LAST_USABLE
        if 0 <= told < 256:
            return {0: BAD, 3: GOOD}.get(told >> 6, UNCERTAIN)
        return BAD if told < 0 or told >> 31 else UNCERTAIN

    def value(self, datatype: int, *, as_text: bool = False) -> tuple[Value, int]:
        """Value and quality, read as `datatype`. Raises `PayloadError` where the two do not belong together."""
        if self.is_null or self.field is None:
            return None, self.quality or BAD_NO_DATA
        value = _plain(self.field, self.raw, datatype)
        if value is None:
            return None, BAD_OUT_OF_RANGE
        if datatype == DATETIME and as_text:
            value = _iso(value)
        return value, self.quality


@dataclass(frozen=True, slots=True)
class Payload:
    """What one message holds."""

    at_us: int | None  # when it was sent
    seq: int | None
    metrics: tuple[Metric, ...]

    def number(self, name: str) -> int | None:
        """The whole number of the metric `name`, such as bdSeq."""
        for metric in self.metrics:
            if metric.name == name and metric.field in ("int_value", "long_value"):
                return metric.raw
        return None


def read(payload: bytes) -> Payload:
    """The payload of a message. Raises `PayloadError` where it is no Sparkplug B."""
    message = _parsed(payload)
    if message.uuid == COMPRESSED:
        message = _parsed(_unpacked(message))
    seq = message.seq if message.HasField("seq") else None
    if seq is not None and seq > 255:
        raise PayloadError(f"The sequence number of the payload is {seq}; it goes from 0 to 255")
    return Payload(_microseconds(message), seq, tuple(_metric(metric) for metric in message.metrics))


def rebirth_command(at_us: int) -> bytes:
    """The payload of the one command there is: tell your birth again."""
    message = Message(timestamp=at_us // 1000)
    message.metrics.add(name=REBIRTH, timestamp=at_us // 1000, datatype=BOOLEAN, boolean_value=True)
    return message.SerializeToString()


def type_name(datatype: int) -> str:
    return TYPES.get(datatype, f"type {datatype}")


def _parsed(payload: bytes) -> Any:
    try:
        return Message.FromString(payload)
    except (DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"A payload of {len(payload)} bytes is no Sparkplug B: {error}") from error


def _unpacked(message: Any) -> bytes:
    unpack = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
    try:
        body = unpack.decompress(message.body, MAX_UNPACKED)
    except zlib.error as error:
        raise PayloadError(f"The compressed body of a payload cannot be unpacked: {error}") from error
    if not unpack.eof:
        raise PayloadError(f"The compressed body of a payload is cut off or larger than {MAX_UNPACKED} bytes")
    return body


def _metric(metric: Any) -> Metric:
    field = metric.WhichOneof("value")
    return Metric(
        metric.name,
        metric.alias if metric.HasField("alias") else None,
        _microseconds(metric),
        metric.datatype,
        metric.is_historical,
        metric.is_null,
        field,
        None if field is None else getattr(metric, field),
        _properties(metric.properties) if metric.HasField("properties") else {},
        metric.metadata.description if metric.HasField("metadata") else "",
    )


def _properties(found: Any) -> dict[str, Any]:
    plain = {}
    for key, value in zip(found.keys, found.values, strict=False):
        if not value.is_null and (field := value.WhichOneof("value")):
            raw = getattr(value, field)
            plain[key] = _integer(raw, _BITS[value.type], True) if value.type in _SIGNED else raw
    return plain


def _microseconds(message: Any) -> int | None:
    """The time of a message; None where it has none or one that no calendar knows."""
    told = message.timestamp
    return told * 1000 if 0 < told <= LATEST_MS else None


def _plain(field: str, raw: Any, datatype: int) -> Value:
    """The value itself; None where an integer does not fit its type."""
    if datatype in _BITS:
        if field not in ("int_value", "long_value"):
            raise _mismatch(field, datatype)
        return _integer(raw, _BITS[datatype], datatype in _SIGNED)
    if datatype in (9, 10):
        if field not in ("float_value", "double_value"):
            raise _mismatch(field, datatype)
        return raw
    if datatype == BOOLEAN:
        if field not in _NUMBERS or raw not in (0, 1):
            raise _mismatch(field, datatype)
        return raw == 1
    if datatype in (12, 14, 15):
        if field != "string_value":
            raise _mismatch(field, datatype)
        return raw
    raise PayloadError(f"A {type_name(datatype)} is not mirrored")


def _integer(raw: int, bits: int, is_signed: bool) -> int | None:
    """An integer from the unsigned member that carries it.

    A negative one comes in two's complement, of its own width from some senders and of 32 or 64 bits from others.
    """
    if not is_signed:
        return raw if raw < 2**bits else None
    for width in (bits, 32, 64):
        if raw < 2**width:
            value = raw - 2**width if raw >= 2 ** (width - 1) else raw
            return value if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None
    return None


def _mismatch(field: str, datatype: int) -> PayloadError:
    return PayloadError(f"A {type_name(datatype)} cannot come as {field}")


def _iso(milliseconds: int) -> str | None:
    return moment(milliseconds * 1000).isoformat() if milliseconds <= LATEST_MS else None
