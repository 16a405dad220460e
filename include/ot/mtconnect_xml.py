"""The documents of an MTConnect agent: streams of observations, and errors. Any version of the standard."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from include.errors import OtError
from include.ot.observations import Observation, condition_text, is_unavailable
from include.ot.shdr import Unreadable, time_of

LEVELS = ("Normal", "Warning", "Fault", "Unavailable")


class NoDocument(OtError):
    """What the agent sent is no document of MTConnect."""


@dataclass(frozen=True)
class Streams:
    """A document of observations, in the order in which the agent took them in."""

    instance: str  # another one after the agent was started again
    first_sequence: int  # oldest that its buffer holds
    next_sequence: int  # where the next request goes on
    observations: tuple[Observation, ...]
    unreadable: tuple[str, ...] = ()  # observations that are none, and why
    version: str = ""
    created_at: datetime | None = None  # by the agent's clock


@dataclass(frozen=True)
class Refusal:
    """A document of errors."""

    codes: tuple[str, ...]
    text: str


def document(body: bytes) -> Streams | Refusal:
    """Read a document; raises `NoDocument`."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise NoDocument(f"the agent sent no XML: {error}: {body[:80]!r}") from error
    kind = _name(root)
    if kind == "MTConnectError":
        errors = [element for element in root.iter() if element.get("errorCode")]
        return Refusal(
            tuple(element.get("errorCode", "") for element in errors),
            "; ".join("".join(element.itertext()).strip() for element in errors),
        )
    header = next((element for element in root if _name(element) == "Header"), None)
    if kind != "MTConnectStreams" or header is None:
        raise NoDocument(f"the agent sent {kind}, not MTConnectStreams; is the address that of an agent?")
    try:
        first, following = int(header.get("firstSequence", 0)), int(header.get("nextSequence", ""))
    except ValueError as error:
        raise NoDocument(f"a document without its sequence numbers: {error}") from error
    found, unreadable = [], []
    for device in (element for element in root.iter() if _name(element) == "DeviceStream"):
        for element in _data(device):
            try:
                found.append(_observation(element, device.get("name") or device.get("uuid")))
            except (Unreadable, ValueError) as error:
                unreadable.append(f"{_name(element)} {element.get('dataItemId')}: {error}")
    found.sort(key=lambda observation: observation.sequence)
    return Streams(
        header.get("instanceId", ""),
        first,
        following,
        tuple(found),
        tuple(unreadable),
        header.get("version", ""),
        _time(header.get("creationTime")),
    )


def _time(text: str | None) -> datetime | None:
    try:
        return time_of(text) if text else None
    except Unreadable:
        return None


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _data(device: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for group in device.iter():
        if _name(group) in ("Samples", "Events", "Condition"):
            yield from group


def _observation(element: ElementTree.Element, device: str | None) -> Observation:
    item, name = element.get("dataItemId"), element.get("name")
    if not item:
        raise Unreadable("no dataItemId")
    about = {
        "key": item,
        "also": (name,) if name and name != item else (),
        "device": device,
        "observed_at": time_of(element.get("timestamp", "")),
        "sequence": int(element.get("sequence", 0)),
        "duration_s": float(element.get("duration", 0)) or None,
    }
    text = (element.text or "").strip()
    level = _name(element)
    if level in LEVELS:
        parts = {
            "level": level.upper(),
            "code": element.get("nativeCode", ""),
            "severity": element.get("nativeSeverity", ""),
            "qualifier": element.get("qualifier", ""),
            "text": text,
        }
        value = None if level == "Unavailable" else condition_text(parts)
        return Observation(value=value, kind="condition", parts=parts, **about)
    if len(element):
        text = _entries(element)
    value = None if is_unavailable(text) else text
    if element.get("sampleCount") is not None:
        rate_hz = float(element.get("sampleRate") or 0) or None
        return Observation(value=value, kind="time_series", rate_hz=rate_hz, **about)
    if element.get("nativeCode") is not None or level == "Message":
        parts = {"code": element.get("nativeCode", ""), "text": text}
        return Observation(value=value, kind="message", parts=parts, **about)
    return Observation(value=value, **about)


def _entries(element: ElementTree.Element) -> str:
    """A data set as `key=value key=value`, a table with its rows in braces: as adapters write them."""
    found = []
    for entry in element:
        value = f"{{{_entries(entry)}}}" if len(entry) else (entry.text or "").strip()
        found.append(f"{entry.get('key', '')}={value}")
    return " ".join(found)
