"""What clients of several protocols share: which samples are news, and gaps under names of their own."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from include.ot.client import Sink
from include.ot.reading import BAD_NO_COMMUNICATION, Sample, Value
from include.ot.tags import Tag

REMEMBERED = 10_000  # gaps


class Deadband:
    """Which samples of a polled tag are news.

    A change of quality always is, so that a dead sensor does not look like a steady one, and so is a value that has
    moved by more than the tag's deadband from the last one that was news; without a deadband, any change. At least
    one sample passes every `heartbeat_s`: steadiness can be told from silence.
    """

    def __init__(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s
        self._last: dict[str, tuple[Value, int, float]] = {}

    def is_news(self, tag: Tag, sample: Sample, at: float, period_s: float = 0.0) -> bool:
        """`at`: now, of a clock that is never set; `period_s`: until the next sample of this tag at the soonest."""
        last = self._last.get(tag.tag_id)
        if last is not None:
            value, quality, kept_at = last
            is_steady = quality == sample.quality and not _has_moved(value, sample.value, width(tag))
            if is_steady and at + period_s - kept_at <= self.heartbeat_s:
                return False
        self._last[tag.tag_id] = (sample.value, sample.quality, at)
        return True

    def forget(self, tag_ids: Iterable[str]) -> None:
        """The next sample of these tags is news, whatever it is."""
        for tag_id in tag_ids:
            self._last.pop(tag_id, None)


def width(tag: Tag) -> float:
    """The deadband in the unit of the tag; 0 where it has none."""
    if tag.deadband is None:
        return 0.0
    if tag.deadband_type == "percent":
        return tag.deadband / 100 * (tag.range_high - tag.range_low)
    return tag.deadband


def _has_moved(old: Value, new: Value, width: float) -> bool:
    if isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(new, bool):
        return abs(new - old) > width
    return old != new


class Gaps:
    """Tells gaps to a sink. A gap is known by its cause and start, so two of other tags never share them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._told: dict[tuple[str, datetime], None] = {}

    def tell(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None:
        if not tag_ids:
            return
        while (cause, from_at) in self._told:
            from_at -= timedelta(microseconds=1)
        self._told[(cause, from_at)] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        self._sink.gap(tag_ids, from_at, to_at, cause)


class Downs:
    """Says that tags are without communication, once each, when an outage has lasted for `after_s`.

    A source that is back may give a value with the time at which it changed, before the outage. By time the outage
    would then be the last thing known of it, so `back` gives the value a second time, as seen now.
    """

    def __init__(self, sink: Sink, after_s: float) -> None:
        self._sink, self._after_s = sink, after_s
        self._down: dict[str, datetime] = {}  # tags told to be down, and when
        self._timer: asyncio.TimerHandle | None = None

    def start(self, tag_ids: Callable[[], Iterable[str]]) -> None:
        """An outage begins; `tag_ids` gives those whose tags it is when it is told."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._say, tag_ids)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_down(self, tag_id: str) -> bool:
        return tag_id in self._down

    def forget(self, tag_ids: Iterable[str]) -> None:
        for tag_id in tag_ids:
            self._down.pop(tag_id, None)

    def back(self, sample: Sample) -> list[Sample]:
        """What to put beside the first sample of a tag that was down."""
        went_down = self._down.pop(sample.tag_id, None)
        at = sample.observed_at or sample.served_at
        if went_down is None or at is None or at > went_down:
            return []
        return [Sample(sample.tag_id, sample.value, sample.quality, None, None, sample.received_at)]

    def _say(self, tag_ids: Callable[[], Iterable[str]]) -> None:
        self._timer = None
        now = datetime.now(UTC)
        fresh = [tag_id for tag_id in tag_ids() if tag_id not in self._down]
        self._down.update(dict.fromkeys(fresh, now))
        if fresh:
            self._sink.put([Sample(tag_id, None, BAD_NO_COMMUNICATION, None, None, now) for tag_id in fresh])
