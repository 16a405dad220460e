"""A simulated edge node: it tells births, data and deaths as real ones do, and keeps count of its messages."""

from datetime import datetime
from typing import Any

from include.ot.reading import microseconds
from include.ot.sparkplug_payload import Message

INT8, INT16, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, BOOL, STRING = 1, 2, 3, 4, 7, 8, 9, 10, 11, 12
DATETIME, DATASET, BYTES = 13, 16, 17
MEMBERS = {
    INT8: "int_value",
    INT16: "int_value",
    INT32: "int_value",
    INT64: "long_value",
    UINT32: "int_value",
    UINT64: "long_value",
    FLOAT: "float_value",
    DOUBLE: "double_value",
    BOOL: "boolean_value",
    STRING: "string_value",
    DATETIME: "long_value",
    DATASET: "dataset_value",
    BYTES: "bytes_value",
}


class Edge:
    """Every method gives the topic and the payload of one message; publishing it is left to the caller."""

    def __init__(self, node: str = "G/E", bd: int = 0) -> None:
        self.node, self.bd, self.seq = node, bd, 0
        self.aliases: dict[str, int] = {}

    def nbirth(self, at: datetime, metrics: dict[str, tuple[int, Any]], **options: Any) -> tuple[str, bytes]:
        self.seq, self.aliases = 0, {}
        message = self._message(at)
        message.metrics.add(name="bdSeq", datatype=INT64, long_value=self.bd)
        message.metrics.add(name="Node Control/Rebirth", datatype=BOOL, boolean_value=False)
        return self._birth("NBIRTH", "", message, metrics, **options)

    def dbirth(
        self, at: datetime, device: str, metrics: dict[str, tuple[int, Any]], **options: Any
    ) -> tuple[str, bytes]:
        return self._birth("DBIRTH", device, self._message(at), metrics, **options)

    def data(self, at: datetime, *metrics: dict[str, Any], device: str = "") -> tuple[str, bytes]:
        message = self._message(at)
        for metric in metrics:
            message.metrics.add(**metric)
        return self.topic("DDATA" if device else "NDATA", device), message.SerializeToString()

    def value(self, name: str, value: Any, datatype: int = DOUBLE, *, device: str = "", **more: Any) -> dict[str, Any]:
        """A metric of a data message: by its alias, as real nodes do."""
        return {"alias": self.aliases[f"{device}:{name}"], MEMBERS[datatype]: value, **more}

    def ddeath(self, at: datetime, device: str) -> tuple[str, bytes]:
        return self.topic("DDEATH", device), self._message(at).SerializeToString()

    def ndeath(self, bd: int | None = None) -> tuple[str, bytes]:
        message = Message()
        message.metrics.add(name="bdSeq", datatype=INT64, long_value=self.bd if bd is None else bd)
        return self.topic("NDEATH"), message.SerializeToString()

    def topic(self, kind: str, device: str = "") -> str:
        group, edge = self.node.split("/")
        return "/".join(level for level in ("spBv1.0", group, kind, edge, device) if level)

    def _birth(
        self,
        kind: str,
        device: str,
        message: Any,
        metrics: dict[str, tuple[int, Any]],
        first_alias: int = 0,
        unit="bar",
    ) -> tuple[str, bytes]:
        for name, (datatype, value) in metrics.items():
            alias = first_alias + len(self.aliases)
            self.aliases[f"{device}:{name}"] = alias
            entry = message.metrics.add(name=name, alias=alias, datatype=datatype)
            if value is None:
                entry.is_null = True
            else:
                setattr(entry, MEMBERS[datatype], value)
            if unit:
                entry.properties.keys.append("engUnit")
                entry.properties.values.add(type=STRING, string_value=unit)
        return self.topic(kind, device), message.SerializeToString()

    def _message(self, at: datetime) -> Any:
        message = Message(timestamp=microseconds(at) // 1000, seq=self.seq)
        self.seq = (self.seq + 1) % 256
        return message
