"""Which messages of each store were taken: ranges of numbers, a few bytes however long the stream."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

Ranges = list[list[int]]  # first and last number of each, in order, never touching


@dataclass(slots=True)
class _Store:
    taken: Ranges = field(default_factory=list)
    sent_us: int = 0  # the latest time of sending
    at_once: Ranges = field(default_factory=list)  # the numbers that were sent at that time


class Seen:
    """Numbers taken, by store. A store numbers its messages 1, 2, 3 …, so one range is the rule.

    A number that comes again is a repetition, unless it was sent later than all that came before it from this store:
    then the outbox was put back to an older copy and counts again from there, and its message is news.
    """

    def __init__(self) -> None:
        self._stores: dict[str, _Store] = {}

    def has(self, store: str, number: int, sent_us: int) -> bool:
        known = self._stores.get(store)
        return known is not None and _holds(known.taken, number) and not _is_later(known, number, sent_us)

    def is_rewound(self, store: str, number: int, sent_us: int) -> bool:
        """Whether this number was given twice by an outbox that was put back to an older copy."""
        known = self._stores.get(store)
        return known is not None and _holds(known.taken, number) and _is_later(known, number, sent_us)

    def add(self, store: str, number: int, sent_us: int) -> None:
        known = self._stores.setdefault(store, _Store())
        _include(known.taken, number)
        if sent_us > known.sent_us or not known.at_once:
            known.sent_us, known.at_once = sent_us, []
        if sent_us == known.sent_us:
            _include(known.at_once, number)

    def missing(self) -> int:
        """Numbers that never came although later ones of their store did."""
        return sum(
            later[0] - earlier[1] - 1
            for known in self._stores.values()
            for earlier, later in zip(known.taken, known.taken[1:], strict=False)
        )

    def to_json(self) -> str:
        return json.dumps({store: [k.taken, k.sent_us, k.at_once] for store, k in self._stores.items()})

    @classmethod
    def of_json(cls, text: str) -> Self:
        seen = cls()
        seen._stores = {store: _Store(*known) for store, known in json.loads(text).items()}
        return seen


def _is_later(known: _Store, number: int, sent_us: int) -> bool:
    """Whether a message was sent after all that is known; several are sent at one time."""
    return sent_us > known.sent_us or (sent_us == known.sent_us and not _holds(known.at_once, number))


def _holds(ranges: Sequence[Sequence[int]], number: int) -> bool:
    at = bisect_right(ranges, number, key=lambda pair: pair[0])
    return at > 0 and number <= ranges[at - 1][1]


def _include(ranges: Ranges, number: int) -> None:
    at = bisect_right(ranges, number, key=lambda pair: pair[0])
    if at > 0 and number <= ranges[at - 1][1]:
        return
    joins_left = at > 0 and ranges[at - 1][1] == number - 1
    joins_right = at < len(ranges) and ranges[at][0] == number + 1
    if joins_left and joins_right:
        ranges[at - 1][1] = ranges.pop(at)[1]
    elif joins_left:
        ranges[at - 1][1] = number
    elif joins_right:
        ranges[at][0] = number
    else:
        ranges.insert(at, [number, number])
