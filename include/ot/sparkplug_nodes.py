"""Follow the edge nodes of a Sparkplug B namespace: births, deaths, sequence, aliases. No network, no clock, no disk.

What is told here and may be held against the reader's intuition:

*Order.* Every message of a node but its death has a number, 0 to 255 and round again. One that is ahead waits up to
`reorder_s` for those before it. If they do not come they are lost: a gap `sequence_jump`, and the last value of every
tag of the node is told once more as uncertain, because a newer one may be among what was lost.

*Aliases.* A birth gives each metric a number, valid until the next birth. Where messages were lost a birth may be among
them, so what only an alias names is uncertain until the node is born again; what is named is not. An alias that no
birth explains is not guessed: gap `birth_missing`, from then to the next birth.

*Death.* Every tag of the node or device becomes bad, and the gap `connection_lost` ends with the next birth. A death
that belongs to an earlier birth (bdSeq) is none.

*Time.* A metric's own time, else the message's. A moment that only this side knows (a death, a cut line) is reckoned on
the node's clock by the latest message, and given as `served_at`, so that it stands in order with the node's own times.
"""

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from hashlib import blake2b
from typing import Any

from include.errors import PayloadError
from include.ot.client import Sink
from include.ot.reading import (
    BAD_NO_COMMUNICATION,
    UNCERTAIN,
    Sample,
    Value,
    is_bad,
    is_good,
    microseconds,
    moment,
)
from include.ot.sparkplug_memory import Row
from include.ot.sparkplug_payload import (
    MIRRORED,
    UNCERTAIN_LAST_USABLE,
    UNKNOWN,
    Metric,
    read,
    type_name,
)
from include.ot.sparkplug_state import (
    MS,
    RECENT,
    Incoming,
    Known,
    Last,
    Node,
    Scope,
    described,
    is_sane,
    node_of,
    scope_of,
)
from include.ot.tags import Tag

NAMESPACE = "spBv1.0"
BIRTHS, DEATHS, DATA = ("NBIRTH", "DBIRTH"), ("NDEATH", "DDEATH"), ("NDATA", "DDATA")
CONTROLS = ("bdSeq", "Node Control/", "Device Control/")  # metrics that say nothing about the plant
HELD, HELD_SETTLING = 100, 50_000  # messages of a node that wait for earlier ones
SETTLE_S, SETTLED_S = 2, 75  # after the line was made: quiet that is waited for, and for how long at most
BEHIND = 128  # a number at most so far back is a repetition, else the node is ahead
LISTED = 100  # names that the state gives of a long list
UNDECLARED = 100_000  # metrics that are remembered as not being in the dictionary
S = 1_000_000


class Nodes:
    """Every edge node of one source. Give it messages (`take`) and the time (`tick`); it fills the sink."""

    def __init__(
        self,
        sink: Sink,
        *,
        groups: Sequence[str] = (),
        nodes: Sequence[str] = (),
        trusts_aliases: bool = False,
        reorder_s: float = 2.0,
        keepalive_s: float = 90.0,
        rebirth_s: float = 30.0,
    ) -> None:
        self.sink = sink
        self.groups, self.only = frozenset(groups), frozenset(nodes)
        self.trusts_aliases = trusts_aliases
        self.reorder_us, self.keepalive_us = int(reorder_s * S), int(keepalive_s * S)
        self.rebirth_us = int(rebirth_s * S)  # how long a device may take after its node's birth
        self.nodes: dict[str, Node] = {}
        self.scopes: dict[str, Scope] = {}
        self.last: dict[str, Last] = {}  # by address, declared or not
        self.counts: Counter[str] = Counter()
        self.not_mirrored: Counter[str] = Counter()  # by type
        self.undeclared: dict[str, None] = {}  # addresses, in order of appearance
        self.problem: str | None = None  # of the latest message that could not be read
        self._tags: dict[str, Tag] = {}  # by address
        self._wrong: dict[str, str] = {}  # tags that cannot be bound, by id, with the reason
        self._mistyped: dict[str, str] = {}  # by address: why values are not taken
        self._by_scope: dict[str, dict[str, Tag]] = {}  # tags by scope and metric
        self._samples: list[Sample] = []
        self._settled_us = 0
        self._fresh: set[str] = set()  # addresses of the message in hand
        self._acks: list[Callable[[], None]] = []
        self._dirty: dict[
            tuple[str, str], Any
        ] = {}  # what to keep: by kind and name, with the state where it is at hand

    # From and to the memory

    def remember(self, rows: Iterable[Row]) -> None:
        """Take over what was kept."""
        recent: dict[str, list[tuple[int, str]]] = {}
        for kind, name, state in rows:
            if kind == "node":
                self.nodes[name] = Node(name, *state)
            elif kind == "recent":
                recent.setdefault(name.rpartition(" ")[0], []).append(state)
            elif kind == "scope":
                scope = self._scope(name)
                scope.born_us, scope.is_alive, scope.bad_us, scope.gap_us = state[:4]
                scope.unresolved_us, scope.awaited_us = state[4:]
            elif kind == "birth":
                scope, metrics = self._scope(name), {metric: Known(*known) for metric, known in state[0].items()}
                scope.metrics = metrics
                scope.names = {known.alias: m for m, known in metrics.items() if known.alias is not None and state[1]}
            elif kind == "value":
                self.last[name] = Last(*state)
        for name, messages in recent.items():
            self.nodes[name].recent = {digest: number for number, digest in sorted(messages)}

    def changes(self) -> tuple[list[Row], list[Callable[[], None]]]:
        """What is to be kept since the last call, and what to acknowledge after it."""
        rows: list[Row] = []
        for (kind, name), state in self._dirty.items():
            if kind == "node":
                n = self.nodes[name]
                state = [n.bd, n.expected, n.last_us, n.heard_us, n.in_doubt, n.is_cut, n.is_kept, n.taken]
            elif kind == "scope":
                s = self.scopes[name]
                state = [s.born_us, s.is_alive, s.bad_us, s.gap_us, s.unresolved_us, s.awaited_us]
            elif kind == "birth":
                s = self.scopes[name]
                state = [{metric: astuple(known) for metric, known in s.metrics.items()}, bool(s.names)]
            elif kind == "value":
                last = self.last[name]
                state = [_writable(last.value), last.quality, last.us]
            rows.append((kind, name, state))
        acks, self._acks, self._dirty = self._acks, [], {}
        return rows, acks

    # The dictionary

    def retag(self, tags: Sequence[Tag], now: datetime) -> None:
        """Take over the dictionary. A tag that is new to it gets the value that its metric has at this moment."""
        before, self._tags, self._wrong, self._by_scope = self._tags, {}, {}, {}
        for tag in tags:
            try:
                scope, metric = scope_of(tag.address)
                if tag.address in self._tags:
                    raise ValueError(
                        f"the address {tag.address!r} is declared for {self._tags[tag.address].tag_id} too"
                    )
            except ValueError as error:
                self._wrong[tag.tag_id] = str(error)
                continue
            self._tags[tag.address] = tag
            self._by_scope.setdefault(scope, {})[metric] = tag
            self.undeclared.pop(tag.address, None)
        if before:
            for address, tag in self._tags.items():
                if address not in before and (last := self.last.get(address)):
                    self._put(tag, last.value, last.quality, last.us, last.us, now)
                    self._dirty["value", address] = None
        self._hand_over()

    # Messages and the time

    def take(
        self,
        topic: str,
        payload: bytes,
        received_at: datetime,
        ack: Callable[[], None] = lambda: None,
        *,
        is_kept: bool = False,
    ) -> None:
        """Take one message. `ack` comes back by `changes` once the message is done with."""
        message = self._read(topic, payload, received_at, ack, is_kept)
        if message is None:
            self._acks.append(ack)
            return
        node = self.nodes.get(message.node) or self.nodes.setdefault(message.node, Node(message.node))
        if message.kind != "NDEATH":  # a node's last will is kept, whatever becomes of the rest
            node.is_kept = is_kept and (node.is_kept or message.kind == "NBIRTH")
        if message.digest in node.recent:  # the broker sends again what was not acknowledged
            self.counts["repeated"] += 1
            self._acks.append(ack)
            return
        if message.kind == "NBIRTH" and not self._is_settling(node, message.received_us):
            self._node_birth(node, message)
        elif message.kind == "NBIRTH":
            self._hold(node, message, SETTLE_S * S, HELD_SETTLING)
        elif message.kind == "NDEATH":
            self._node_death(node, message)
        else:
            self._in_turn(node, message)
        self._hand_over()

    def tick(self, now: datetime) -> None:
        """Let time pass: nobody waits for ever."""
        now_us = microseconds(now)
        for node in self.nodes.values():
            if node.held and now_us >= node.held_until:
                self._look_again(node, now_us)
        for name, scope in self.scopes.items():
            if scope.awaited_us is not None and now_us - scope.awaited_us > self.rebirth_us:
                node = self.nodes[node_of(name)]
                born_us = self._scope(node.name).born_us
                self._silence(name, None, node.clock(now_us), node.clock(now_us) if born_us is None else born_us, now)
        self._hand_over()

    def resumed(self, now: datetime) -> None:
        """The line to the broker was made anew, and the broker had our session: what it kept comes now."""
        self._settled_us = microseconds(now) + SETTLED_S * S
        for node in self.nodes.values():
            node.is_settled = False

    def cut(self, now: datetime) -> None:
        """The broker cannot be reached: what the tags are now is not known."""
        now_us = microseconds(now)
        for name in dict.fromkeys([*self.scopes, *self._by_scope]):
            scope, node = self._scope(name), self.nodes.get(node_of(name))
            if not scope.is_dead and scope.bad_us is None:
                self._tell_bad(name, None, node.clock(now_us) if node else now_us, now)
            if node and not node.is_cut:
                node.is_cut = True
                self._dirty["node", node.name] = None
        self._hand_over()

    def back(self, cut_at: datetime, now: datetime, *, has_session: bool) -> None:
        """The broker is back. Samples may be missing, unless it has kept every message of a node for us."""
        tags = [
            tag.tag_id
            for scope, tags in self._by_scope.items()
            for tag in tags.values()
            if not (has_session and (node := self.nodes.get(node_of(scope))) and node.is_kept)
        ]
        if tags:
            self.sink.gap(sorted(tags), cut_at, now, "connection_lost")

    def stop(self) -> None:
        """Nothing more will come: what waits for earlier messages waits in vain, or with the broker."""
        for node in self.nodes.values():
            if not node.is_kept:
                self._release(node)
        self._hand_over()

    # What they mean

    def _read(
        self, topic: str, payload: bytes, received_at: datetime, ack: Callable[[], None], is_kept: bool
    ) -> Incoming | None:
        """The message, or None where it is none of ours or cannot be read."""
        levels = topic.split("/")
        if len(levels) not in (4, 5) or levels[0] != NAMESPACE:
            self.counts["other_topics"] += 1
            return None
        _, group, kind, edge, *device = levels
        if kind not in (*BIRTHS, *DEATHS, *DATA) or bool(device) != kind.startswith("D"):
            self.counts["other_topics"] += 1  # commands of others, above all
            return None
        node = f"{group}/{edge}"
        if (self.groups and group not in self.groups) or (self.only and node not in self.only):
            self.counts["filtered"] += 1
            return None
        try:
            found = read(payload)
        except PayloadError as error:
            self.counts["undecodable"] += 1
            self.problem = f"{topic}: {error}"
            return None
        self.counts["messages"] += 1
        received_us = microseconds(received_at)
        sent_us = found.at_us if is_sane(found.at_us, received_us) else None
        digest = blake2b(topic.encode() + b"\0" + payload, digest_size=8).hexdigest() if is_kept else ""
        return Incoming(kind, node, "".join(device), found, digest, sent_us, received_us, received_at, ack)

    def _in_turn(self, node: Node, message: Incoming) -> None:
        """A message that has a number among the node's others."""
        if self._is_behind(node, message):
            self._late(node, message)
        elif self._is_settling(node, message.received_us):
            self._hold(node, message, SETTLE_S * S, HELD_SETTLING)
        elif node.is_next(message):
            self._done(node, message)
            self._release(node, only_next=True)
        elif self.reorder_us == 0:
            self._done(node, message, is_jump=True)
        else:
            self._hold(node, message, self.reorder_us, HELD)

    def _is_settling(self, node: Node, now_us: int) -> bool:
        """Whether messages may come in any order: the broker keeps them, and the line was made not long ago.

        Some brokers send what is new before what they send again, hundreds of messages later; numbers of 8 bits do not
        tell that order, times do.
        """
        return node.is_kept and not node.is_settled and now_us < self._settled_us

    def _hold(self, node: Node, message: Incoming, wait_us: int, most: int) -> None:
        if not node.held or (most == HELD_SETTLING and message.at_us < node.held[-1].at_us):
            node.held_until = message.received_us + wait_us
        insort(node.held, message, key=_when)
        if len(node.held) >= most:
            self._release(node)

    def _is_behind(self, node: Node, message: Incoming) -> bool:
        """Whether the message was there before, or comes late: not in turn, and older than the latest.

        Where nothing is sent twice, only the messages just before the latest can be late; one that seems far back is
        ahead, and the node's clock was put back.
        """
        if node.last_us is None or message.payload.seq is None or message.at_us > node.last_us:
            return False
        if message.at_us < node.last_us and (node.expected is None or self._is_settling(node, message.received_us)):
            return True
        back = 0 if node.expected is None else (node.expected - message.payload.seq) % 256
        return back != 0 and (back <= BEHIND or (node.is_kept and message.at_us < node.last_us))

    def _late(self, node: Node, message: Incoming) -> None:
        self.counts["repeated"] += 1
        if node.held and self._is_settling(node, message.received_us):
            node.held_until = message.received_us + SETTLE_S * S  # more may follow
        self._told(node, message, is_late=True)
        self._acks.append(message.ack)

    def _release(self, node: Node, *, only_next: bool = False, is_quiet: bool = False) -> None:
        """Take what was held: as far as nothing is missing, or all of it. `is_quiet`: what is missing will come."""
        while node.held:
            same = node.held[: bisect_right(node.held, node.held[0].at_us, key=_when)]
            at = next((n for n, held in enumerate(same) if held.kind == "NBIRTH" or node.is_next(held)), 0)
            message = node.held[at]
            if message.digest in node.recent:
                del node.held[at]
                self._acks.append(message.ack)
            elif message.kind == "NBIRTH":
                del node.held[at]
                self._node_birth(node, message)
            elif self._is_behind(node, message):
                del node.held[at]
                self._late(node, message)
            elif node.is_next(message) or not only_next:
                del node.held[at]
                self._done(node, message, is_jump=not (is_quiet or node.is_next(message)))
            else:
                return
        node.held_until = math.inf

    @staticmethod
    def _has_numbers_alone(node: Node) -> bool:
        """Whether nothing tells where a node's messages begin: it is not known, and the first is no birth."""
        return node.held[0].kind != "NBIRTH" and node.held[0].payload.seq is not None

    def _look_again(self, node: Node, now_us: int) -> None:
        """The wait is over. While a node is settling, what is still missing may come until the end of that."""
        is_settling = self._is_settling(node, now_us)
        if not (is_settling and node.expected is None and self._has_numbers_alone(node)):
            self._release(node, only_next=is_settling)
        if node.held:
            node.held_until = min(now_us + SETTLE_S * S, self._settled_us)
        elif is_settling:
            node.is_settled = True

    def _done(self, node: Node, message: Incoming, *, is_jump: bool = False) -> None:
        """Take a message whose turn it is."""
        seq, was_us = message.payload.seq, node.last_us
        if is_jump:
            self.counts["jumps"] += 1
            self.counts["messages_lost"] += (seq - node.expected) % 256
            node.in_doubt = True
            low, high = sorted((message.at_us - MS if was_us is None else was_us, message.at_us))
            self._gap(self._scopes_of(node.name), low, max(high, low + MS), "sequence_jump")
        if seq is not None:
            node.expected = (seq + 1) % 256
        node.last_us, node.heard_us = message.at_us, message.received_us
        self._dirty["node", node.name] = None
        self._fresh.clear()
        self._told(node, message)
        if is_jump or node.is_cut:
            self._restate(node, message, is_jump)
        self._finish(node, message)

    def _finish(self, node: Node, message: Incoming) -> None:
        """All is told that the message said."""
        self._acks.append(message.ack)
        if message.is_kept:
            number = node.take(message.digest)
            self._dirty["recent", f"{node.name} {number % RECENT}"] = [number, message.digest]
            self._dirty["node", node.name] = None

    def _told(self, node: Node, message: Incoming, *, is_late: bool = False) -> None:
        """What a message of a device or of a node's data says."""
        name, scope = message.scope, self._scope(message.scope)
        if message.kind == "DBIRTH":
            if is_late and scope.born_us is not None and message.at_us <= scope.born_us:
                return
            self._birth(name, scope, message)
        elif message.kind == "DDEATH":
            self.counts["deaths"] += 1
            if not scope.is_dead and not (is_late and message.at_us < (scope.born_us or 0)):
                self._silence(name, message.sent_us, message.at_us, message.at_us, message.received_at)
        else:
            self.counts["data"] += 1
            for metric in message.payload.metrics:
                self._observe(node, name, scope, message, metric, is_late)

    def _node_birth(self, node: Node, message: Incoming) -> None:
        scope, bd = self._scope(node.name), message.payload.number("bdSeq")
        is_old = bd == node.bd or (bd is not None and node.bd is not None and _is_older(bd, node.bd))
        if is_old and scope.born_us is not None and message.at_us <= scope.born_us:
            self.counts["repeated"] += 1
            self._finish(node, message)
            return
        later = [held for held in node.held if held.at_us >= message.at_us]
        del node.held[len(node.held) - len(later) :]
        self._release(node)
        if bd != node.bd or node.last_us is None or message.at_us >= node.last_us:
            node.expected = ((message.payload.seq or 0) + 1) % 256
            node.last_us, node.heard_us = message.at_us, message.received_us
        node.bd, node.in_doubt = bd, False
        self._dirty["node", node.name] = None
        self._birth(node.name, scope, message)
        for name in self._devices_of(node.name):
            device = self.scopes[name]
            device.end()  # a node's birth ends those of its devices
            if device.is_alive and device.awaited_us is None:
                device.awaited_us = message.received_us
            self._dirty["scope", name] = self._dirty["birth", name] = None
        self._finish(node, message)
        node.held = later
        self._release(node, only_next=True)
        if node.held:
            node.held_until = message.received_us + self.reorder_us

    def _node_death(self, node: Node, message: Incoming) -> None:
        bd = message.payload.number("bdSeq")
        if bd is not None and node.bd is not None and bd != node.bd and _is_older(bd, node.bd):
            self.counts["deaths_of_earlier_births"] += 1
            self._finish(node, message)
            return
        self.counts["deaths"] += 1
        self._release(node, is_quiet=self._is_settling(node, message.received_us))
        at_us = node.clock(message.received_us)
        from_us = at_us - self.keepalive_us if node.last_us is None else max(node.last_us, at_us - self.keepalive_us)
        for name in self._scopes_of(node.name):
            if not self._scope(name).is_dead:
                self._silence(name, None, at_us, from_us, message.received_at)
        node.expected, node.is_cut = None, False
        self._dirty["node", node.name] = None
        self._finish(node, message)

    def _birth(self, name: str, scope: Scope, message: Incoming) -> None:
        self.counts["births"] += 1
        scope.end()
        scope.metrics = {metric.name: described(metric) for metric in message.payload.metrics if metric.name}
        scope.names = {known.alias: m for m, known in scope.metrics.items() if known.alias is not None}
        for from_us, cause in ((scope.gap_us, "connection_lost"), (scope.unresolved_us, "birth_missing")):
            if from_us is not None:
                self._gap([name], from_us, max(message.at_us, from_us + MS), cause)
        bad_us, scope.bad_us = scope.bad_us, None
        scope.born_us, scope.is_alive = message.at_us, True
        scope.gap_us = scope.unresolved_us = scope.awaited_us = None
        self._dirty["scope", name] = self._dirty["birth", name] = None
        for metric in message.payload.metrics:
            if metric.name:
                self._born(name, metric, message, bad_us)
            else:
                self.counts["nameless"] += 1

    def _born(self, scope: str, metric: Metric, message: Incoming, bad_us: int | None) -> None:
        """A value that a birth tells: what the metric is now, though its own time may be older than its tag's death."""
        address = f"{scope}:{metric.name}"
        tag = self._tag_of(address, metric.name)
        if (found := self._value_of(address, metric, metric.datatype, tag)) is None:
            return
        us, last = message.time_of(metric), self.last.get(address)
        floor = max((told for told in (bad_us, last and last.us) if told is not None), default=None)
        is_news = bad_us is not None or (last is not None and (last.value, last.quality) != found)
        if us is not None and floor is not None and us <= floor and is_news:
            us = max(message.at_us, floor + MS)
        self._keep(address, *found, message.at_us if us is None else us)
        if tag:
            self._put(tag, *found, us, message.sent_us, message.received_at)

    def _observe(self, node: Node, name: str, scope: Scope, message: Incoming, metric: Metric, is_late: bool) -> None:
        """One metric of a data message."""
        known, is_certain = None, True
        if metric.name:
            label, known = metric.name, scope.metrics.get(metric.name)
        elif metric.alias is not None:
            label, known = scope.of_alias(metric.alias, message.at_us if is_late else None)
            if is_late and not label:
                self.counts["late_without_birth"] += 1
                return
            is_certain = self.trusts_aliases or not node.in_doubt
            if known is None or (metric.datatype and known.datatype and metric.datatype != known.datatype):
                self._unresolved(name, scope, message)
                return
        else:
            self.counts["nameless"] += 1
            return
        address = f"{name}:{label}"
        tag = self._tag_of(address, label)
        datatype = metric.datatype or (known.datatype if known else UNKNOWN)
        if datatype == UNKNOWN and (datatype := _guess(metric)) == UNKNOWN:
            self._unresolved(name, scope, message)
            return
        found = self._value_of(address, metric, datatype, tag)
        if found is None:
            return
        value, quality = found
        if not is_certain and is_good(quality):
            quality = UNCERTAIN
        us = message.time_of(metric)
        if metric.is_historical:
            self.counts["historical"] += 1
        else:
            self._fresh.add(address)
            self._keep(address, value, quality, message.at_us if us is None else us)
        if tag:
            self._put(tag, value, quality, us, message.sent_us, message.received_at)

    def _value_of(self, address: str, metric: Metric, datatype: int, tag: Tag | None) -> tuple[Value, int] | None:
        """Value and quality; None, counted and with a reason, where there is none to mirror."""
        if datatype not in MIRRORED and datatype != UNKNOWN:
            self.not_mirrored[type_name(datatype)] += 1
            self._mistyped[address] = f"a {type_name(datatype)} is not mirrored"
            return None
        if datatype == UNKNOWN:
            datatype = _guess(metric)
        try:
            found = metric.value(datatype, as_text=tag is not None and tag.data_type == "text")
        except PayloadError as error:
            self.counts["mistyped"] += 1
            self._mistyped[address] = str(error)
            return None
        self._mistyped.pop(address, None)
        return found

    def _tag_of(self, address: str, metric: str) -> Tag | None:
        tag = self._tags.get(address)
        if tag is None and len(self.undeclared) < UNDECLARED and not metric.startswith(CONTROLS):
            self.undeclared[address] = None
        return tag

    def _unresolved(self, name: str, scope: Scope, message: Incoming) -> None:
        """A metric that no birth explains."""
        self.counts["unresolved"] += 1
        if scope.unresolved_us is None:
            scope.unresolved_us = message.at_us
            self._dirty["scope", name] = None

    def _silence(self, name: str, observed_us: int | None, at_us: int, gap_us: int, received_at: datetime) -> None:
        """A node or device is dead."""
        scope = self._scope(name)
        scope.end()
        scope.is_alive, scope.gap_us, scope.awaited_us = False, gap_us, None
        self._dirty["birth", name] = None
        self._tell_bad(name, observed_us, at_us, received_at)

    def _tell_bad(self, name: str, observed_us: int | None, at_us: int, received_at: datetime) -> None:
        self._scope(name).bad_us = at_us
        self._dirty["scope", name] = None
        for tag in self._by_scope.get(name, {}).values():
            self._put(tag, None, BAD_NO_COMMUNICATION, observed_us, at_us, received_at)

    def _restate(self, node: Node, message: Incoming, is_jump: bool) -> None:
        """Tell last values again: as uncertain where messages were lost, as they were where a cut line cost none."""
        node.is_cut = False
        for name in self._scopes_of(node.name):
            scope = self._scope(name)
            if scope.is_dead:
                continue
            was_bad = scope.bad_us is not None and message.at_us > scope.bad_us
            node.is_cut |= scope.bad_us is not None and not was_bad
            for metric, tag in self._by_scope.get(name, {}).items():
                address = f"{name}:{metric}"
                last = self.last.get(address)
                if last is None or not (
                    (was_bad and last.us <= scope.bad_us) or (is_jump and address not in self._fresh)
                ):
                    continue
                is_uncertain = is_jump and address not in self._fresh and not is_bad(last.quality)
                quality = UNCERTAIN_LAST_USABLE if is_uncertain else last.quality
                us = max(message.at_us, last.us + MS)
                self._keep(address, last.value, quality, us)
                observed_us = None if message.sent_us is None else us
                self._put(tag, last.value, quality, observed_us, message.sent_us, message.received_at)
            if was_bad:
                scope.bad_us = None
                self._dirty["scope", name] = None

    def _keep(self, address: str, value: Value, quality: int, us: int) -> None:
        last = self.last.get(address)
        if last is None:
            self.last[address] = Last(value, quality, us)
        elif us >= last.us:
            last.value, last.quality, last.us = value, quality, us
        if address in self._tags:
            self._dirty["value", address] = None

    def _put(
        self,
        tag: Tag,
        value: Value,
        quality: int,
        observed_us: int | None,
        served_us: int | None,
        received_at: datetime,
    ) -> None:
        self._samples.append(Sample(tag.tag_id, value, quality, _moment(observed_us), _moment(served_us), received_at))

    def _gap(self, names: Iterable[str], from_us: int, to_us: int, cause: str) -> None:
        tags = sorted(tag.tag_id for name in names for tag in self._by_scope.get(name, {}).values())
        if tags:
            self.sink.gap(tags, moment(from_us), moment(to_us), cause)

    def _hand_over(self) -> None:
        if self._samples:
            samples, self._samples = self._samples, []
            self.sink.put(samples)

    def _scope(self, name: str) -> Scope:
        return self.scopes.get(name) or self.scopes.setdefault(name, Scope())

    def _devices_of(self, node: str) -> list[str]:
        return [name for name in self.scopes if name.startswith(f"{node}/")]

    def _scopes_of(self, node: str) -> list[str]:
        """The node itself and its devices: those heard of, and those of the dictionary."""
        names = dict.fromkeys([node, *self._devices_of(node)])
        names.update(dict.fromkeys(name for name in self._by_scope if name.startswith(f"{node}/")))
        return list(names)

    # How things stand

    def births_needed(self) -> dict[str, str]:
        """Nodes of which a birth is needed, each with the reason."""
        needed = {}
        for name in dict.fromkeys([*self.nodes, *(node_of(scope) for scope in self._by_scope)]):
            node, reasons = self.nodes.get(name), []
            if node is None:
                reasons.append("never heard of")
            elif self._scope(name).born_us is None:
                reasons.append("not born yet")
            elif node.in_doubt:
                reasons.append("messages were lost, a birth may be among them")
            for scope_name in [name, *self._devices_of(name)]:
                scope = self.scopes.get(scope_name)
                if scope and scope.unresolved_us is not None:
                    since = moment(scope.unresolved_us).isoformat(timespec="seconds")
                    reasons.append(f"{scope_name}: values without a birth since {since}")
            if reasons:
                needed[name] = "; ".join(reasons)
        return needed

    def state(self) -> dict[str, Any]:
        """For health.json."""
        needed, errors = self.births_needed(), self.errors()
        return {
            "nodes": {
                name: {
                    "is_alive": self._scope(name).is_alive,
                    "born_at": _iso(self._scope(name).born_us),
                    "heard_at": _iso(node.heard_us),
                    "needs_birth": needed.get(name),
                    "devices": {d.rpartition("/")[2]: self.scopes[d].is_alive for d in self._devices_of(name)},
                }
                for name, node in self.nodes.items()
            },
            "nodes_missing": [name for name in needed if name not in self.nodes],
            "tags_bound": len(self._tags) - sum(address in self._tags for address in self._mistyped),
            "tags_in_error": dict(list(errors.items())[:LISTED]),
            "tags_in_error_count": len(errors),
            "undeclared": {"count": len(self.undeclared), "first": list(self.undeclared)[:LISTED]},
            "not_mirrored": dict(self.not_mirrored),
            "counts": dict(self.counts),
            "last_refused": self.problem,
        }

    def errors(self) -> dict[str, str]:
        """Tags that get no values, by id, each with the reason."""
        found = dict(self._wrong)
        for scope_name, tags in self._by_scope.items():
            scope = self.scopes.get(scope_name)
            for metric, tag in tags.items():
                if reason := self._mistyped.get(tag.address):
                    found[tag.tag_id] = reason
                elif scope is None or (scope.born_us is None and tag.address not in self.last):
                    found[tag.tag_id] = f"{scope_name} has told no birth yet"
                elif metric not in scope.metrics and tag.address not in self.last:
                    found[tag.tag_id] = f"the birth of {scope_name} has no metric {metric!r}"
        return found

    def metrics(self) -> Mapping[str, Known]:
        """Every metric that births have told, by address."""
        return {f"{n}:{metric}": known for n, scope in self.scopes.items() for metric, known in scope.metrics.items()}


def _when(message: Incoming) -> int:
    return message.at_us


def _guess(metric: Metric) -> int:
    """The type of a named metric that no birth tells. An integer that may be one below zero is not guessed."""
    if metric.is_null or metric.field is None:
        return 12
    if metric.field in ("int_value", "long_value"):
        bits = 32 if metric.field == "int_value" else 64
        return UNKNOWN if metric.raw >> (bits - 1) else (7 if bits == 32 else 8)
    return {"float_value": 9, "double_value": 10, "boolean_value": 11, "string_value": 12}.get(metric.field, 17)


def _is_older(one: int, other: int) -> bool:
    """Whether one bdSeq comes before another; they go from 0 to 255 and round again."""
    return 0 < (other - one) % 256 < 128


def _moment(us: int | None) -> datetime | None:
    return None if us is None else moment(us)


def _iso(us: int | None) -> str | None:
    return None if us is None else moment(us).isoformat(timespec="milliseconds")


def _writable(value: Value) -> Value:
    """A value as JSON can hold it. NaN and infinity are bad readings anyway."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
