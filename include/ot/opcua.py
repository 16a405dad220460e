"""The OPC UA client: subscribes to the tags of one server and hands on what it says. It cannot write.

*Outages.* After a cut the session is taken up again: what the server queued meanwhile comes, what it sent into the
cut is missed by its number and asked for again, and nothing is lost. A server that has forgotten us (a restart, a
long cut) is given a new subscription, and the time between is a gap. An outage that lasts is a BAD_NO_COMMUNICATION
sample per tag. When a value that did not change comes back after one, it is put twice: at its own, older time, and
as seen now, because by time the outage would else be the last thing known of it.

*Nodes.* Addresses hold namespace URIs and are resolved at every new session. A node that is not there is told in
the state, has one bad sample, and is looked for again; the others go on.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import (
    BadMessageNotAvailable,
    BadNoSubscription,
    BadTimeout,
    BadTooManyPublishRequests,
    UaStructParsingError,
)

from include.errors import HnaiError, OtError
from include.ot import opcua_nodes
from include.ot.client import Sink
from include.ot.opcua_items import NO_NODE, Items, Outcome, Subscription
from include.ot.opcua_nodes import BadAddress
from include.ot.opcua_session import GONE, Session, Unreachable, connect, options_of
from include.ot.opcua_values import QUALITY, is_overflowed, sample_of
from include.ot.reading import BAD_NO_COMMUNICATION, BAD_NODE_ID_UNKNOWN, Sample
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.trust import Pki, pki

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5  # between the first two tries to connect; then twice as long each time
STABLE_S = 10.0  # a connection that lasted so long is tried again without waiting
SHOWN = 200  # tags with a reason that the state holds
EXACT_GAPS = 100  # overflows of one message told each by itself; more are one gap
SEQUENCES = 0xFFFFFFFF  # message numbers count from 1 to here and start again
_LOST = (HnaiError, ua.UaError, OSError, TimeoutError)  # what ends a connection, not the client


class _Lost(OtError):
    """The subscription is no longer what it was."""


class OpcUaClient:
    """See `include.ot.client.Client`."""

    def __init__(self, source: Source, sink: Sink, store: Pki | None = None) -> None:
        self.source, self.sink = source, sink
        self.options = options_of(source)
        self.has_history = self.options.history
        self._store = store or pki()
        self._tags: dict[str, Tag] = {}
        self._items = Items(self.options)
        self._session: Session | None = None
        self._is_connected = self._was_connected = False
        self._is_spoilt = False  # whether what the session watches is not known any more
        self._since = self._heard_at = datetime.now(UTC)
        self._last_error: str | None = None
        self._server: dict[str, Any] = {}
        self._skew = timedelta(0)  # the server's clock less ours
        self._acks: list[ua.SubscriptionAcknowledgement] = []
        self._down: dict[str, datetime] = {}  # tags that were told to be down, and when
        self._down_timer: asyncio.TimerHandle | None = None
        self._told_gaps: dict[tuple[str, datetime], None] = {}
        self._binding = asyncio.Lock()  # one change of what is watched at a time
        self._taking = asyncio.Lock()  # messages in their order
        self._look_now = asyncio.Event()

    async def run(self, tags: Sequence[Tag]) -> None:
        self._tags = {tag.tag_id: tag for tag in tags}
        self._since = self._heard_at = datetime.now(UTC)
        self._start_down_timer()
        wait_s = 0.0
        try:
            while True:
                attached = None
                try:
                    await self._attach()
                    attached = monotonic()
                    await self._listen()
                except _LOST as error:
                    self._lost(error)
                if attached is not None and monotonic() - attached > STABLE_S:
                    wait_s = 0.0
                self._tell(retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(max(FIRST_WAIT_S, 2 * wait_s), self.options.reconnect_max_s)
        finally:
            self._stop_down_timer()
            if self._session is not None:
                await self._session.close()

    async def retag(self, tags: Sequence[Tag]) -> None:
        async with self._binding:
            self._tags = {tag.tag_id: tag for tag in tags}
            self._items.rename(self._tags)
            for tag_id in [t for t in self._down if t not in self._tags]:
                del self._down[tag_id]
            if self._is_connected:
                try:
                    self._settle(await self._items.reconcile(self._tags, datetime.now(UTC)))
                except _LOST as error:
                    log.warning("%s: the changed dictionary waits for a new session: %s", self.source.name, error)
                    self._is_spoilt = True
                    self._session.abort()
        self._tell()

    # Connecting

    async def _attach(self) -> None:
        """Be subscribed: in the session that is, or in a new one."""
        if self._is_spoilt:
            await self._drop()
        if self._session is None or not await self._resume():
            await self._start()
        self._stop_down_timer()
        self._is_connected, self._since, self._last_error = True, datetime.now(UTC), None
        for subscription in self._items.subscriptions.values():
            subscription.heard = monotonic()
        if failures := self._items.failures:
            some = [f"{tag_id}: {failure.reason}" for tag_id, failure in list(failures.items())[:3]]
            log.warning("%s: %d tags cannot be read: %s", self.source.name, len(failures), "; ".join(some))
        self._tell()

    async def _resume(self) -> bool:
        """Take up the session after a cut. False where it or one of its subscriptions is gone; it is dropped then."""
        try:
            async with self._binding:
                await self._session.resume()
                await self._check_alive()
                self._settle(await self._items.reconcile(self._tags, self._heard_at))
                await self._read_down()
        except Unreachable:
            if datetime.now(UTC) - self._heard_at < timedelta(seconds=2 * self.options.session_s):
                raise
        except _LOST as error:
            log.info("%s: the session cannot be taken up again: %s", self.source.name, error)
        else:
            log.info("%s: connected again, in the same session", self.source.name)
            return True
        await self._drop()
        return False

    async def _drop(self) -> None:
        """Give up the session; the server is told, where it can be."""
        await self._session.close()
        self._session, self._is_spoilt = None, False

    async def _check_alive(self) -> None:
        """Ask whether the server still has every subscription: it is told to switch on what is on."""
        results = await self._session.uaclient.session.set_publishing_mode(
            ua.SetPublishingModeParameters(PublishingEnabled=True, SubscriptionIds=list(self._items.subscriptions))
        )
        for status in results:
            status.check()

    async def _start(self) -> None:
        """A new session with all tags. What was missed since we last heard of the server is a gap.

        At the first one there is none to tell: the bridge knows since when it has been stopped.
        """
        session = await connect(self.source, self._store)
        async with self._binding:
            try:
                self._acks.clear()
                await self._items.begin(session)
                await self._greet(session)
                since = self._heard_at - self._margin
                self._settle(await self._items.reconcile(self._tags, since))
            except BaseException:
                await session.abandon()
                raise
            self._session, self._heard_at = session, datetime.now(UTC)
            if self._items.by_tag and self._was_connected:
                self._gap(list(self._items.by_tag), since, self._heard_at + self._margin, "connection_lost")
            self._was_connected = True
        log.info("%s: connected to %s, %d tags", self.source.name, self.source.url, len(self._items.by_tag))

    async def _greet(self, session: Session) -> None:
        """Learn what the server says of itself, and how its clock stands to ours."""
        ids = ua.ObjectIds
        asked = (
            ids.Server_ServerStatus_CurrentTime,
            ids.Server_ServerStatus_StartTime,
            ids.Server_ServerStatus_BuildInfo_ProductName,
        )
        before = datetime.now(UTC)
        said = await opcua_nodes.read(session, [(ua.NodeId(i), ua.AttributeIds.Value) for i in asked], len(asked))
        clock, started, product = map(opcua_nodes.value_of, said)
        middle = before + (datetime.now(UTC) - before) / 2
        self._skew = clock - middle if isinstance(clock, datetime) else timedelta(0)
        self._server = {
            "product": product,
            "started_at": started.isoformat() if isinstance(started, datetime) else None,
            "clock_ahead_s": round(self._skew.total_seconds(), 1),
        }

    @property
    def _margin(self) -> timedelta:
        """By how much a gap in our time is widened to hold in the server's."""
        return abs(self._skew) + timedelta(milliseconds=self.options.publishing_ms)

    def _lost(self, error: Exception) -> None:
        if self._is_connected:
            log.warning("%s: connection lost: %s", self.source.name, error)
            self._since = datetime.now(UTC)
            self._start_down_timer()
        elif str(error) != self._last_error:
            log.warning("%s: %s", self.source.name, error)
        self._is_connected, self._last_error = False, str(error) or type(error).__name__
        if self._session is not None:
            self._session.abort()

    # Listening

    async def _listen(self) -> None:
        """Take what the server sends until the connection is lost."""
        publishers = [self._publish(self._session) for _ in range(len(self._items.subscriptions) + 1)]
        tasks = [asyncio.create_task(work) for work in (*publishers, self._watch(), self._tend())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish(self, session: Session) -> None:
        """Always have a Publish request waiting at the server, and take its answers in their order."""
        while True:
            acks, self._acks = self._acks, []
            try:
                response = await session.uaclient.session.publish(acks)
            except BadTimeout:
                continue
            except BadTooManyPublishRequests:
                return  # the server keeps fewer waiting; the other requests go on
            except BadNoSubscription as error:
                raise _Lost("the server has no subscription of ours any more") from error
            except UaStructParsingError as error:  # the number of the next message tells that one is missing
                log.warning("%s: a message cannot be read: %r", self.source.name, error.__cause__)
                continue
            async with self._taking:
                await self._take(response.Parameters)

    async def _take(self, result: ua.PublishResult) -> None:
        subscription = self._items.subscriptions.get(result.SubscriptionId)
        if subscription is None:
            return
        message = result.NotificationMessage
        missing = (message.SequenceNumber - subscription.next_sequence) % SEQUENCES  # a keep-alive has the next number
        if 0 < missing < SEQUENCES // 2:
            await self._ask_again(subscription, message.SequenceNumber)
        if message.NotificationData and missing < SEQUENCES // 2:  # else a repetition of what is in
            self._open(subscription, message)
        subscription.heard = monotonic()
        self._heard_at = datetime.now(UTC)

    def _open(self, subscription: Subscription, message: ua.NotificationMessage) -> None:
        """Hand on what one message holds, then acknowledge it."""
        now = datetime.now(UTC)
        for part in message.NotificationData:
            if isinstance(part, ua.DataChangeNotification):
                self._changes(part.MonitoredItems, now)
            elif isinstance(part, ua.StatusChangeNotification):
                self._status(part.Status)
        subscription.next_sequence = message.SequenceNumber % SEQUENCES + 1
        self._acks.append(
            ua.SubscriptionAcknowledgement(SubscriptionId=subscription.id, SequenceNumber=message.SequenceNumber)
        )

    def _changes(self, notifications: Iterable[ua.MonitoredItemNotification], now: datetime) -> None:
        samples: list[Sample] = []
        overflows: list[tuple[str, datetime, datetime]] = []
        items, down = self._items.by_handle, self._down
        is_told = True
        for notification in notifications:
            item = items.get(notification.ClientHandle)
            if item is None:
                continue  # taken off meanwhile
            data = notification.Value
            sample, problem = sample_of(item.tag.tag_id, data, now)
            samples.append(sample)
            if problem != item.problem:
                item.problem, is_told = problem, False
            at = sample.observed_at or sample.served_at or now
            if is_overflowed(data):
                overflows.append((sample.tag_id, item.seen_at or at, at))
            item.seen_at = at
            if down:
                samples.extend(self._back(sample))
        if samples:
            self.sink.put(samples)
        if overflows:
            self._tell_overflows(overflows)
        if not is_told:
            self._tell()

    def _back(self, sample: Sample) -> list[Sample]:
        """The value of a tag that was down, as seen now, where its own time is from before it went down."""
        went_down = self._down.pop(sample.tag_id, None)
        at = sample.observed_at or sample.served_at
        if went_down is None or at is None or at > went_down:
            return []
        return [Sample(sample.tag_id, sample.value, sample.quality, None, None, sample.received_at)]

    def _status(self, status: ua.StatusCode) -> None:
        if status.value & QUALITY in NO_NODE:  # some servers say so of the subscription when a node goes
            self._look_now.set()
        elif not status.is_good() or status.value == ua.StatusCodes.GoodSubscriptionTransferred:
            raise _Lost(f"the server ended the subscription: {status.name}")

    async def _ask_again(self, subscription: Subscription, until: int) -> None:
        """Ask for the messages before number `until`, which was sent after them and came; what is gone is a gap."""
        while subscription.next_sequence != until:
            message = await self._republished(subscription)
            if message is None:
                break
            self._open(subscription, message)
        if subscription.next_sequence != until:
            tag_ids = [i.tag.tag_id for i in self._items.by_tag.values() if i.subscription is subscription]
            to_at = datetime.now(UTC) + self._margin
            log.warning("%s: messages before number %d did not come", self.source.name, until)
            self._gap(tag_ids, self._heard_at - self._margin, to_at, "connection_lost")
            subscription.next_sequence = until

    async def _republished(self, subscription: Subscription) -> ua.NotificationMessage | None:
        number = subscription.next_sequence
        try:
            message = await self._session.uaclient.session.republish(subscription.id, number)
        except BadMessageNotAvailable:
            return None
        except ua.UaStatusCodeError as error:
            if error.code in GONE:
                raise
            return None
        except OSError:
            raise
        except Exception as error:  # whatever a decoder may stumble over
            log.warning("%s: message %d cannot be read: %r", self.source.name, number, error)
            return None
        return message if message.NotificationData and message.SequenceNumber == number else None

    async def _watch(self) -> None:
        """Notice a server that is silent: a cut that nobody told us of."""
        while True:
            silent = [(monotonic() - s.heard, s.silence_s) for s in self._items.subscriptions.values()]
            if any(silence > allowed for silence, allowed in silent):
                raise _Lost(f"the server has been silent for {max(s for s, _ in silent):.0f} s")
            await asyncio.sleep(min([1.0, *(allowed / 10 for _, allowed in silent)]))

    async def _tend(self) -> None:
        """Look for nodes now and then, and when the server hints at one that went."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.options.retry_s):
                    await self._look_now.wait()
            self._look_now.clear()
            async with self._binding:
                self._settle(await self._items.look_again(self._tags, datetime.now(UTC)))
            self._tell()

    async def _read_down(self) -> None:
        """Read the tags that were told to be down: in a session taken up again, one that did not change is not sent."""
        items = [item for tag_id, item in self._items.by_tag.items() if tag_id in self._down]
        said = await opcua_nodes.read(
            self._session, [(item.node_id, ua.AttributeIds.Value) for item in items], self._items.limits.read
        )
        now = datetime.now(UTC)
        samples: list[Sample] = []
        for item, data in zip(items, said, strict=True):
            sample, item.problem = sample_of(item.tag.tag_id, data, now)
            samples += [sample, *self._back(sample)]
        if samples:
            self.sink.put(samples)

    # Telling

    def _settle(self, outcome: Outcome) -> None:
        """Tell what became of tags: bad samples for those that are not watched, gaps of those that are again."""
        now = datetime.now(UTC)
        if outcome.failed:
            self._down.update(dict.fromkeys(outcome.failed, now))
            self.sink.put([Sample(tag_id, None, q, None, None, now) for tag_id, q in outcome.failed.items()])
        for tag_id, since in outcome.back.items():
            self._gap([tag_id], since, now + self._margin, "connection_lost")

    def _start_down_timer(self) -> None:
        self._stop_down_timer()
        self._down_timer = asyncio.get_running_loop().call_later(self.options.down_s, self._say_down)

    def _stop_down_timer(self) -> None:
        if self._down_timer is not None:
            self._down_timer.cancel()
            self._down_timer = None

    def _say_down(self) -> None:
        now = datetime.now(UTC)
        up = [tag_id for tag_id in self._tags if tag_id not in self._down]
        self._down.update(dict.fromkeys(up, now))
        if up:
            self.sink.put([Sample(tag_id, None, BAD_NO_COMMUNICATION, None, None, now) for tag_id in up])

    def _tell_overflows(self, overflows: list[tuple[str, datetime, datetime]]) -> None:
        """One gap a tag; tags with the same start share one, and a storm of overflows is one in all."""
        starts: dict[datetime, tuple[list[str], datetime]] = {}
        for tag_id, from_at, to_at in overflows:
            tag_ids, latest = starts.setdefault(from_at, ([], to_at))
            if tag_id not in tag_ids:
                tag_ids.append(tag_id)
            starts[from_at] = (tag_ids, max(latest, to_at))
        if len(starts) > EXACT_GAPS:
            tag_ids = list(dict.fromkeys(tag_id for tag_id, *_ in overflows))
            starts = {min(starts): (tag_ids, max(to_at for _, to_at in starts.values()))}
        for from_at, (tag_ids, to_at) in starts.items():
            self._gap(tag_ids, min(from_at, to_at), max(from_at, to_at), "queue_overflow")

    def _gap(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None:
        """A gap's identity is its cause and start: two of other tags must not share them."""
        while (cause, from_at) in self._told_gaps:
            from_at -= timedelta(microseconds=1)
        self._told_gaps[(cause, from_at)] = None
        if len(self._told_gaps) > 10_000:
            del self._told_gaps[next(iter(self._told_gaps))]
        self.sink.gap(tag_ids, from_at, to_at, cause)

    def _tell(self, **more: Any) -> None:
        options, items, session = self.options, self._items, self._session
        errors = {tag_id: failure.reason for tag_id, failure in items.failures.items()}
        errors |= {tag_id: item.problem for tag_id, item in items.by_tag.items() if item.problem}
        notes = {tag_id: item.note for tag_id, item in items.by_tag.items() if item.note}
        shown = session.server_certificate if session else None
        warnings = [session.own.warning] if session and session.own.warning else []
        if shown and shown.ends:
            warnings.append(f"The server's certificate {shown.ends}: {shown}. Its owner must renew it")
        detail = {
            "url": self.source.url,
            "security": f"{options.security} {options.mode}" if options.is_secure else "None",
            "user": options.user or "anonymous",
            "since": self._since.isoformat(),
            "last_error": self._last_error,
            "tags": len(self._tags),
            "bound": len(items.by_tag),
            "in_error": len(errors),
            "errors": dict(list(errors.items())[:SHOWN]),
            "notes": dict(list(notes.items())[:SHOWN]),
            "server": self._server,
            "server_certificate_until": shown.valid_until.isoformat() if shown else None,
            "certificate_until": session.own.certificate.valid_until.isoformat() if session else None,
            "warnings": warnings,
        }
        self.sink.state(self._is_connected, detail | more)


async def read_once(source: Source, tags: Sequence[Tag], store: Pki | None = None) -> list[Sample]:
    """The present value of each tag, by one connection; a tag that has no node has a bad sample."""
    session = await connect(source, store)
    try:
        known = await opcua_nodes.namespaces(session)
        limit = await opcua_nodes.limits(session)
        found: dict[str, ua.NodeId] = {}
        for tag in tags:
            with suppress(BadAddress):
                found[tag.tag_id] = opcua_nodes.resolve(tag.address, known)
        said = await opcua_nodes.read(session, [(n, ua.AttributeIds.Value) for n in found.values()], limit.read)
        now = datetime.now(UTC)
        samples = {tag_id: sample_of(tag_id, data, now)[0] for tag_id, data in zip(found, said, strict=True)}
        none = BAD_NODE_ID_UNKNOWN
        return [samples.get(t.tag_id) or Sample(t.tag_id, None, none, None, None, now) for t in tags]
    finally:
        await session.close()
