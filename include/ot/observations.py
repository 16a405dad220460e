"""What machines say in MTConnect's terms, by an adapter's SHDR or an agent's XML, and the tags that it is for.

An address is `[device:]key[#part]`: the key of an SHDR line, or an agent's data item by its id or name. Without a
device it fits any; one that two devices fit is a mistake, and the first device seen keeps it. A condition's value is
its level with what goes with it, `FAULT|1010|HIGH||Spindle hot`; one part of it is taken by `#level`, `#code`,
`#severity`, `#qualifier` or `#text`, of a message `#code` or `#text`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.ot.reading import BAD_NO_DATA, GOOD, Sample
from include.ot.tags import Tag

PARTS = ("level", "code", "severity", "qualifier", "text")
Kind = Literal["value", "condition", "message", "time_series"]
KINDS: tuple[Kind, ...] = ("value", "condition", "message", "time_series")
BAD_CONFIGURATION_ERROR = 0x80890000
SHOWN = 50  # keys that nobody has a tag for


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing said about one data item. `value` is None where the machine has none (UNAVAILABLE)."""

    key: str
    value: str | None
    observed_at: datetime | None = None
    device: str | None = None
    kind: Kind = "value"
    parts: Mapping[str, str] | None = None  # of a condition or message, by the names of PARTS
    rate_hz: float | None = None  # of a time series
    duration_s: float | None = None  # over which a statistic was taken
    also: tuple[str, ...] = ()  # other keys of the same data item
    sequence: int = 0  # an agent's


def is_unavailable(text: str) -> bool:
    return text.upper() == "UNAVAILABLE"


@dataclass(slots=True)
class _Bound:
    tag: Tag
    part: str | None
    of: tuple[str | None, str] | None = None  # device and key that it was first seen with


class Tags:
    """Finds the tags of observations and makes samples of them."""

    def __init__(self, tags: Iterable[Tag] = ()) -> None:
        self.errors: dict[str, str] = {}  # tags that cannot be read, and why
        self.strangers: Counter[str] = Counter()  # keys that no tag is declared for
        self._bound: dict[tuple[str | None, str], list[_Bound]] = {}
        self._of: dict[str, tuple[str | None, str]] = {}
        self.take(tags)

    def take(self, tags: Iterable[Tag]) -> None:
        """Take over a dictionary. Tags that stay keep the device that they were seen with."""
        before = {bound.tag.tag_id: bound for of_key in self._bound.values() for bound in of_key}
        self._bound, self.errors = {}, {}
        for tag in tags:
            try:
                device, key, part = split(tag.address)
            except ValueError as error:
                self.errors[tag.tag_id] = str(error)
                continue
            old = before.get(tag.tag_id)
            of = old.of if old and old.tag.address == tag.address else None
            self._bound.setdefault((device, key), []).append(_Bound(tag, part, of))
        self.strangers.clear()

    def samples(self, seen: Observation, received_at: datetime) -> list[Sample]:
        """The samples of one observation, oldest first; none where no tag is for it."""
        device = seen.device.casefold() if seen.device else None
        keys = (seen.key, *seen.also)
        bound = [b for key in keys for b in self._bound.get((None, key), ())]
        if device:
            bound += [b for key in keys for b in self._bound.get((device, key), ())]
        if not bound:
            name = f"{seen.device}:{seen.key}" if seen.device else seen.key
            if name in self.strangers or len(self.strangers) < SHOWN:
                self.strangers[name] += 1
            return []
        found: list[Sample] = []
        for one in bound:
            if one.of is None:
                one.of = (device, seen.key)
            if one.of == (device, seen.key):
                found += _samples(seen, one.tag, one.part, received_at)
            else:
                self.errors[one.tag.tag_id] = (
                    f"{one.tag.address} fits {one.of[0]}:{one.of[1]} and {device}:{seen.key}: name device and id"
                )
        return found


def split(address: str) -> tuple[str | None, str, str | None]:
    """Device (in one case), key and part of an address; ValueError says what is wrong with it."""
    rest, _, part = address.partition("#")
    device, colon, key = rest.partition(":") if ":" in rest else ("", "", rest)
    if not key or (colon and not device):
        raise ValueError(f"address {address!r} is no [device:]key[#part]")
    if part and part not in PARTS:
        raise ValueError(f"address {address!r}: #{part} is none of {', '.join(PARTS)}")
    return (device.casefold() if colon else None), key, part or None


def _samples(seen: Observation, tag: Tag, part: str | None, received_at: datetime) -> Sequence[Sample]:
    at = seen.observed_at
    value = seen.value
    if value is not None and part:
        value = (seen.parts or {}).get(part)
    if value is None or (value == "" and tag.data_type != "text"):
        return [Sample(tag.tag_id, None, BAD_NO_DATA, at, None, received_at)]
    if seen.kind == "time_series" and tag.data_type != "text":
        values = value.split()
        return [
            Sample(tag.tag_id, one, GOOD, moment, None, received_at)
            for one, moment in zip(values, _times(seen, len(values)), strict=True)
        ]
    return [Sample(tag.tag_id, value, GOOD, at, None, received_at)]


def _times(seen: Observation, count: int) -> list[datetime | None]:
    """When the values of a time series were seen: its time is that of the last one.

    Without a rate and a duration all have that time, and keep their order by their ordinals.
    """
    if seen.observed_at is None or count == 1:
        return [seen.observed_at] * count
    step_s = 1 / seen.rate_hz if seen.rate_hz else (seen.duration_s or 0.0) / (count - 1)
    return [seen.observed_at - timedelta(seconds=step_s * back) for back in range(count - 1, -1, -1)]


def condition_text(parts: Mapping[str, str]) -> str:
    """A condition in one text, without empty parts at its end."""
    return "|".join(parts.get(part, "") for part in PARTS).rstrip("|")
