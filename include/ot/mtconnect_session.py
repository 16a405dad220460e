"""What a source of kind mtconnect may say in its YAML, and what its two ways of listening share."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from include.errors import DeclarationError, OtError
from include.ot.observations import KINDS, Kind, Observation
from include.ot.shdr import Parser
from include.ot.sources import Source
from include.ot.telling import Downs

COMMON = ("topic", "owner", "description", "every_s")  # keys of a source's YAML that other modules read


class Lost(OtError):
    """The connection is of no use any more."""


@dataclass(frozen=True)
class Options:
    """What a source of kind mtconnect may say in its YAML; the last three are also of kind shdr_files."""

    interval_ms: int = 500  # agent: how often it sends what is new
    count: int = 10_000  # agent: most observations of one document
    heartbeat_ms: int = 10_000  # agent: silence after which it says that it is there
    path: str = ""  # agent: XPath of the data items that are asked for; all where empty
    silence_s: float = 0  # adapter that does not answer pings: silence after which it counts as dead; never where 0
    timeout_s: float = 10  # longest wait for a connection and for the beginning of an answer
    down_s: float = 5  # outage after which the tags are said to be without communication
    reconnect_max_s: float = 30  # longest wait between two tries
    device: str = ""  # adapter: the device of keys that name none
    timezone: str = "UTC"  # adapter: of times without a zone
    kinds: tuple[tuple[str, Kind], ...] = ()  # adapter: keys that are not what they read as

    @property
    def zone(self) -> tzinfo:
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def parser(self, device: str | None = None) -> Parser:
        return Parser(dict(self.kinds), self.zone, self.device or device)


def options_of(source: Source, also: Sequence[str] = ()) -> Options:
    """The source's options, checked. `also`: keys that the caller reads himself."""
    known = {f.name: f.type for f in fields(Options)}
    given: dict[str, Any] = {}
    for name, value in source.options.items():
        where = f"{source.name}.yaml: {name}"
        if name in COMMON or name in also:
            continue
        if name not in known:
            raise DeclarationError(f"{where} is no option of an MTConnect source; it has {', '.join(known)}")
        if known[name] in (int, float):
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value < 0 or (value == 0 and name != "silence_s"):
                raise DeclarationError(f"{where}: {value!r} is not a number above 0")
            value = known[name](value)
        elif name == "kinds":
            if not isinstance(value, dict) or not set(value.values()) <= set(KINDS):
                raise DeclarationError(f"{where} must name one of {', '.join(KINDS)} for each key")
            value = tuple((str(key), kind) for key, kind in value.items())
        else:
            value = "" if value is None else str(value)
        given[name] = value
    options = Options(**given)
    try:
        options.zone.utcoffset(None)
    except Exception as error:
        raise DeclarationError(f"{source.name}.yaml: timezone {options.timezone!r} is unknown: {error}") from error
    return options


class Listener(Protocol):
    """Whom an agent or an adapter is listened to for: the client, as it hands on what comes."""

    source: Source
    options: Options
    seen: set[str]  # tags of which there was a sample
    heard_at: datetime  # when the other side last said something
    downs: Downs

    def connected(self) -> None:
        """The other side is there."""

    def take(self, observations: Iterable[Observation], only: Callable[[str], bool] | None = None) -> None:
        """Hand on what was observed; of tags that `only` lets through."""

    def gap(self, cause: str, margin: timedelta = timedelta(0)) -> None:
        """Whatever happened since we last heard may be missing."""


class Line(Protocol):
    """One way of listening."""

    async def follow(self) -> None:
        """Connect and hand on what comes, until it raises."""

    def tags_changed(self, new: Iterable[str]) -> None:
        """There are tags whose present value is wanted."""

    def detail(self) -> dict[str, Any]:
        """What the state says about it."""
