"""The tags that a server watches for us: made, changed, taken off, looked for again.

Nothing here tells anybody anything: what happened is the `Outcome` of each call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic

from asyncua import ua

from include.ot import opcua_nodes
from include.ot.opcua_filter import FILTER_REFUSED, Choice, choices
from include.ot.opcua_nodes import BadAddress, Limits, Property
from include.ot.opcua_session import Options, Session
from include.ot.opcua_values import QUALITY
from include.ot.reading import BAD_NODE_ID_UNKNOWN
from include.ot.tags import Tag

NO_NODE = {ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid}


@dataclass(slots=True)
class Subscription:
    id: int  # the server's
    silence_s: float  # how long it may be silent before it counts as dead
    next_sequence: int = 1
    heard: float = field(default_factory=monotonic)
    items: int = 0


@dataclass(slots=True)
class Item:
    """A tag that the server watches."""

    tag: Tag
    asked: Tag  # as it was when the server was asked
    handle: int  # ours, in every notification
    node_id: ua.NodeId
    subscription: Subscription
    monitored_id: int = 0  # the server's
    seen_at: datetime | None = None  # time of the last sample
    note: str | None = None
    problem: str | None = None  # why its values cannot be mirrored


@dataclass(frozen=True, slots=True)
class Failure:
    """A tag that the server does not watch."""

    reason: str
    since: datetime  # samples may be missing from here on


@dataclass
class Outcome:
    failed: dict[str, int] = field(default_factory=dict)  # tags that are not watched now, with the quality that says so
    back: dict[str, datetime] = field(default_factory=dict)  # tags that are watched again, and since when they were not


@dataclass(frozen=True, slots=True)
class _Wish:
    """A tag to be watched, and the ways to ask for it that are left."""

    tag: Tag
    node_id: ua.NodeId
    ways: list[Choice]


class Items:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.session: Session | None = None
        self.limits = Limits()
        self.namespaces: list[str] = []
        self.subscriptions: dict[int, Subscription] = {}
        self.by_handle: dict[int, Item] = {}
        self.by_tag: dict[str, Item] = {}
        self.failures: dict[str, Failure] = {}
        self._handle = 0

    async def begin(self, session: Session) -> None:
        """Start with a session that watches nothing yet. What could not be watched before is remembered."""
        self.session = session
        self.subscriptions.clear()
        self.by_handle.clear()
        self.by_tag.clear()
        self.namespaces = await opcua_nodes.namespaces(session)
        self.limits = await opcua_nodes.limits(session)

    def rename(self, tags: Mapping[str, Tag]) -> None:
        """Take over what a changed dictionary says of tags that are watched already; no word to the server."""
        for tag_id, item in self.by_tag.items():
            item.tag = tags.get(tag_id, item.tag)
        for tag_id in [t for t in self.failures if t not in tags]:
            del self.failures[tag_id]

    async def reconcile(self, tags: Mapping[str, Tag], since: datetime) -> Outcome:
        """Let the server watch exactly these tags. `since`: from when on samples of a new one may be missing."""
        self.rename(tags)
        fresh = [
            tag
            for tag_id, tag in tags.items()
            if (item := self.by_tag.get(tag_id)) is None or _wanted(item.asked) != _wanted(tag)
        ]
        old = [
            item
            for tag_id, item in self.by_tag.items()
            if tag_id not in tags or _wanted(item.asked) != _wanted(tags[tag_id])
        ]
        for item in old:
            del self.by_tag[item.tag.tag_id]
        outcome = await self._watch(fresh, since)  # the new first, then the old goes: no moment without
        await self._release(old)
        return outcome

    async def look_again(self, tags: Mapping[str, Tag], now: datetime) -> Outcome:
        """Find watched nodes that vanished, and try again those that were not there."""
        watched = list(self.by_tag.values())
        said = await opcua_nodes.read(
            self.session, [(item.node_id, ua.AttributeIds.NodeClass) for item in watched], self.limits.read
        )
        gone = [
            (i, d.StatusCode) for i, d in zip(watched, said, strict=True) if d.StatusCode.value & QUALITY in NO_NODE
        ]
        await self._release([item for item, _ in gone])
        outcome = Outcome()
        for item, status in gone:
            tag = item.tag
            del self.by_tag[tag.tag_id]
            reason = f"{tag.address}: {status.name}: {status.doc}"
            self.failures[tag.tag_id] = Failure(reason, item.seen_at or now)
            outcome.failed[tag.tag_id] = status.value & QUALITY
        if self.failures:
            self.namespaces = await opcua_nodes.namespaces(self.session)
            again = await self._watch([tag for tag_id, tag in tags.items() if tag_id in self.failures], now)
            outcome.failed |= again.failed
            outcome.back = again.back
        return outcome

    async def _watch(self, tags: Sequence[Tag], since: datetime) -> Outcome:
        outcome = Outcome()
        found: list[tuple[Tag, ua.NodeId]] = []
        for tag in tags:
            try:
                found.append((tag, opcua_nodes.resolve(tag.address, self.namespaces)))
            except BadAddress as error:
                self._fail(tag, str(error), BAD_NODE_ID_UNKNOWN, since, outcome)
        nodes = await self._properties([(t, n) for t, n in found if t.deadband_type == "percent"])
        wishes = [_Wish(tag, node_id, choices(tag, nodes.get(tag.tag_id))) for tag, node_id in found]
        size = min(self.limits.items, self.options.items_per_subscription)
        while wishes:
            part, wishes = wishes[:size], wishes[size:]
            create = partial(self._create, await self._with_room(len(part)), since, outcome)
            again = await opcua_nodes.in_portions(part, size, create)
            wishes += [wish for wish in again if wish is not None]
        return outcome

    async def _properties(self, tags: Sequence[tuple[Tag, ua.NodeId]]) -> dict[str, Property]:
        found = await opcua_nodes.properties(self.session, [node_id for _, node_id in tags], self.limits)
        return {tag.tag_id: of_node for (tag, _), of_node in zip(tags, found, strict=True)}

    async def _with_room(self, items: int) -> Subscription:
        for subscription in self.subscriptions.values():
            if subscription.items + items <= self.options.items_per_subscription:
                return subscription
        return await self._subscribe()

    async def _subscribe(self) -> Subscription:
        options = self.options
        beats = max(1, round(options.keep_alive_s * 1000 / options.publishing_ms))
        result = await self.session.uaclient.session.create_subscription(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=float(options.publishing_ms),
                RequestedLifetimeCount=max(3 * beats, round(options.session_s * 1000 / options.publishing_ms)),
                RequestedMaxKeepAliveCount=beats,
                MaxNotificationsPerPublish=10_000,
                PublishingEnabled=True,
                Priority=0,
            ),
            callback=None,
        )
        keep_alive_s = result.RevisedPublishingInterval * result.RevisedMaxKeepAliveCount / 1000
        made = Subscription(result.SubscriptionId, 2 * keep_alive_s + options.timeout_s)
        self.subscriptions[made.id] = made
        return made

    async def _create(
        self, subscription: Subscription, since: datetime, outcome: Outcome, wishes: Sequence[_Wish]
    ) -> list[_Wish | None]:
        """Ask for one portion; gives, per wish, what is left to try."""
        items: list[Item] = []
        for wish in wishes:
            self._handle += 1
            item = Item(wish.tag, wish.tag, self._handle, wish.node_id, subscription, note=wish.ways[0].note)
            items.append(item)
            self.by_handle[item.handle] = item  # before the answer: a notification may overtake it
        try:
            results = await self.session.uaclient.session.create_monitored_items(
                ua.CreateMonitoredItemsParameters(
                    SubscriptionId=subscription.id,
                    TimestampsToReturn=ua.TimestampsToReturn.Both,
                    ItemsToCreate=[self._request(item, wish.ways[0]) for item, wish in zip(items, wishes, strict=True)],
                )
            )
        except BaseException:
            for item in items:
                del self.by_handle[item.handle]
            raise
        left: list[_Wish | None] = []
        for item, wish, result in zip(items, wishes, results, strict=True):
            left.append(None)
            if result.StatusCode.is_good():
                self._keep(item, result, outcome)
                continue
            del self.by_handle[item.handle]
            if result.StatusCode.value in FILTER_REFUSED and len(wish.ways) > 1:
                left[-1] = _Wish(wish.tag, wish.node_id, wish.ways[1:])
            else:
                status = result.StatusCode
                reason = f"{wish.tag.address}: {status.name}: {status.doc}"
                self._fail(wish.tag, reason, status.value & QUALITY, since, outcome)
        return left

    def _request(self, item: Item, way: Choice) -> ua.MonitoredItemCreateRequest:
        """The oldest sample goes first when the queue runs over, and the overflow bit of the next one tells."""
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=item.node_id, AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=item.handle,
                SamplingInterval=float(item.tag.sampling_ms or self.options.sampling_ms),
                Filter=way.filter,
                QueueSize=max(2, self.options.queue_size),  # a queue of one has no overflow bit
                DiscardOldest=True,
            ),
        )

    def _keep(self, item: Item, result: ua.MonitoredItemCreateResult, outcome: Outcome) -> None:
        item.monitored_id = result.MonitoredItemId
        item.subscription.items += 1
        tag_id = item.tag.tag_id
        self.by_tag[tag_id] = item
        wanted_ms = item.tag.sampling_ms or self.options.sampling_ms
        notes = [item.note] if item.note else []
        if result.RevisedSamplingInterval > 1.01 * wanted_ms:
            notes.append(f"the server samples every {result.RevisedSamplingInterval:g} ms, not every {wanted_ms:g}")
        if result.RevisedQueueSize == 1:
            notes.append("the server queues one sample only: what it drops between two publishings is not told")
        item.note = "; ".join(notes) or None
        if failure := self.failures.pop(tag_id, None):
            outcome.back[tag_id] = failure.since

    def _fail(self, tag: Tag, reason: str, quality: int, since: datetime, outcome: Outcome) -> None:
        known = self.failures.get(tag.tag_id)
        self.failures[tag.tag_id] = Failure(reason, known.since if known else since)
        if known is None:
            outcome.failed[tag.tag_id] = quality

    async def _release(self, items: Sequence[Item]) -> None:
        """Take items off; an item that went with its node is gone already, which the server says per item."""
        for subscription in self.subscriptions.values():
            own = [item for item in items if item.subscription is subscription]
            for part in opcua_nodes.portions([item.monitored_id for item in own], self.limits.items):
                await self.session.uaclient.session.delete_monitored_items(
                    ua.DeleteMonitoredItemsParameters(SubscriptionId=subscription.id, MonitoredItemIds=part)
                )
            subscription.items -= len(own)
        for item in items:
            self.by_handle.pop(item.handle, None)


def _wanted(tag: Tag) -> tuple:
    """What of a tag the server is asked for; a change of anything else needs no word to it."""
    return (
        tag.address,
        tag.data_type,
        tag.sampling_ms,
        tag.deadband,
        tag.deadband_type,
        tag.range_low,
        tag.range_high,
    )
