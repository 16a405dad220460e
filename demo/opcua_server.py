"""An OPC UA server as a plant has one, for the simulator and the replay: asyncua's, with what it leaves out.

Added here: a deadband is measured from the last reported value (asyncua measures from the last written one, so a slow
drift is never reported) and also in percent of EURange; a full queue sets the overflow bit on what follows the lost
sample; every request of a client is counted by service. Nothing can be written by a client unless the server was
told to allow it.
"""

import asyncio
import dataclasses
import hmac
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server import binary_server_asyncio, subscription_service
from asyncua.server.address_space import AddressSpace
from asyncua.server.history import HistoryStorageInterface
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData, MonitoredItemService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager
from cryptography.x509.oid import ExtendedKeyUsageOID

OVERFLOW = 0x480  # info type "data value" with the overflow bit
WRITES = ("Write", "HistoryUpdate", "Call", "AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences")
EU_NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"
EU_CODES = {  # UNECE codes of our unit names
    "psi": "PS", "bar": "BAR", "kpa": "KPA", "pa": "PAL", "degf": "FAH", "degc": "CEL", "pct": "P1",
    "sm3_per_h": "MQH", "m3_per_s": "MQS", "1": "C62",
}  # fmt: skip
TYPES = {
    "double": ua.VariantType.Double,
    "long": ua.VariantType.Int64,
    "boolean": ua.VariantType.Boolean,
    "text": ua.VariantType.String,
}


@dataclass(frozen=True)
class Point:
    """One variable of the server: its node id within the namespace, and the folders that it lies in."""

    node: str
    folders: tuple[str, ...]
    name: str
    data_type: str = "double"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    description: str = ""


class PlantServer(Server):
    """A server with one namespace of points. `show` shows a value; clients see it by reading or subscribing."""

    def __init__(self, *, url: str, namespace: str, users: Mapping[str, str], allow_writes: bool = False) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # a bridge that comes and goes is no news
        super().__init__(user_manager=_Users(users, allow_writes))
        self.namespace = namespace
        self.requests: Counter[str] = Counter()
        self.iserver.requests = self.requests
        self.published = asyncio.Event()  # set whenever queues were emptied or a client has acknowledged
        self.iserver.aspace.published = self.published
        self.iserver.disabled_clock = True  # `tell_time` is called with the ticks instead
        self._application_uri = f"{namespace}:server"
        self.set_endpoint(url)
        self.set_server_name("Demo plant")
        self._values: dict[str, tuple[ua.NodeId, ua.VariantType]] = {}

    @property
    def writes(self) -> int:
        """Requests that could change something, whether they were refused or not."""
        return sum(self.requests[name] for name in WRITES)

    async def prepare(self, points: Sequence[Point], *, pki: Path | None = None, anonymous: bool = False) -> None:
        """Build the address space. `pki` is the folder of the server's own key and certificate, made when missing."""
        await self.init()
        self._policies_of(pki is not None, anonymous)
        if pki is not None:
            await self._own_certificate(pki)
        index = await self.register_namespace(self.namespace)
        self._build(index, points)

    def _policies_of(self, is_secure: bool, anonymous: bool) -> None:
        policies = [ua.SecurityPolicyType.NoSecurity]
        if is_secure:
            policies += [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt, ua.SecurityPolicyType.Basic256Sha256_Sign]
        self.set_security_policy(policies)
        self.set_identity_tokens([ua.UserNameIdentityToken, *([ua.AnonymousIdentityToken] if anonymous else [])])

    async def _own_certificate(self, pki: Path) -> None:
        pki.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, certificate = pki / "key.pem", pki / "certificate.der"
        await setup_self_signed_certificate(
            key, certificate, self._application_uri, "localhost", [ExtendedKeyUsageOID.SERVER_AUTH], {}
        )
        key.chmod(0o600)
        await self.load_certificate(certificate)
        await self.load_private_key(key)

    def _build(self, index: int, points: Sequence[Point]) -> None:
        folders = {}
        for point in points:
            parent = ua.NodeId(ua.ObjectIds.ObjectsFolder)
            for depth in range(1, len(point.folders) + 1):
                path = point.folders[:depth]
                if path not in folders:
                    node = ua.NodeId("/".join(path), index)
                    folders[path] = self._add(parent, node, index, path[-1], ua.ObjectIds.FolderType)
                parent = folders[path]
            self._add_point(parent, index, point)

    def _add_point(self, parent: ua.NodeId, index: int, point: Point) -> None:
        kind = TYPES[point.data_type]
        has_range = point.low is not None and point.high is not None
        node = self._add(
            parent,
            ua.NodeId(point.node, index),
            index,
            point.name,
            ua.ObjectIds.AnalogItemType if has_range else ua.ObjectIds.BaseDataVariableType,
            ua.DataValue(ua.Variant(None), ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData)),
            kind,
            point.description,
        )
        self._values[point.node] = (node, kind)
        if has_range:
            span = ua.Variant(ua.Range(Low=float(point.low), High=float(point.high)), ua.VariantType.ExtensionObject)
            self._add_property(node, index, "EURange", span, ua.ObjectIds.Range)
        if point.unit:
            unit = ua.Variant(_unit(point.unit), ua.VariantType.ExtensionObject)
            self._add_property(node, index, "EngineeringUnits", unit, ua.ObjectIds.EUInformation)

    def _add(self, parent, node, index, name, type_definition, value=None, kind=None, description="") -> ua.NodeId:
        item = ua.AddNodesItem()
        item.ParentNodeId, item.RequestedNewNodeId = parent, node
        item.BrowseName, item.TypeDefinition = ua.QualifiedName(name, index), ua.NodeId(type_definition)
        if value is None:
            item.NodeClass, item.ReferenceTypeId = ua.NodeClass.Object, ua.NodeId(ua.ObjectIds.Organizes)
            attributes = ua.ObjectAttributes()
            attributes.EventNotifier = 0
        else:
            item.NodeClass, item.ReferenceTypeId = ua.NodeClass.Variable, ua.NodeId(ua.ObjectIds.HasComponent)
            attributes = _variable(ua.NodeId(kind.value))
            attributes.Historizing = True
            attributes.AccessLevel |= ua.AccessLevel.HistoryRead.mask
            attributes.UserAccessLevel |= ua.AccessLevel.HistoryRead.mask
        attributes.DisplayName = ua.LocalizedText(name)
        attributes.Description = ua.LocalizedText(description or name)
        item.NodeAttributes = attributes
        self._added(item)
        if value is not None:
            self.iserver.aspace[node].attributes[ua.AttributeIds.Value].value = value
        return node

    def _add_property(self, owner: ua.NodeId, index: int, name: str, value: ua.Variant, data_type: int) -> None:
        item = ua.AddNodesItem()
        item.ParentNodeId, item.RequestedNewNodeId = owner, ua.NodeId(f"{owner.Identifier}.{name}", index)
        item.BrowseName, item.TypeDefinition = ua.QualifiedName(name, 0), ua.NodeId(ua.ObjectIds.PropertyType)
        item.NodeClass, item.ReferenceTypeId = ua.NodeClass.Variable, ua.NodeId(ua.ObjectIds.HasProperty)
        attributes = _variable(ua.NodeId(data_type))
        attributes.Value = value
        attributes.DisplayName = attributes.Description = ua.LocalizedText(name)
        item.NodeAttributes = attributes
        self._added(item)

    def _added(self, item: ua.AddNodesItem) -> None:
        self.iserver.node_mgt_service.add_nodes([item])[0].StatusCode.check()

    async def show(
        self, node: str, value: float | int | bool | str | None, status: int, at: datetime, served_at: datetime
    ) -> None:
        """Show a value with its source time. A bad status has no value."""
        node_id, kind = self._values[node]
        is_bad = status >> 31
        shown = ua.DataValue(
            ua.Variant(None if is_bad else value, ua.VariantType.Null if is_bad else kind),
            ua.StatusCode(status),
            at,
            served_at,
        )
        await self.iserver.aspace.write_attribute_value(node_id, ua.AttributeIds.Value, shown)

    async def tell_time(self, now: datetime) -> None:
        """What the server's clock shows."""
        status = self.iserver.aspace.read_attribute_value(
            self.iserver.server_status_node.nodeid, ua.AttributeIds.Value
        ).Value.Value
        status = dataclasses.replace(status, CurrentTime=now)
        await self.iserver.server_status_node.write_value(status)
        await self.iserver.current_time_node.write_value(now)

    def node_name(self, node_id: ua.NodeId) -> str | None:
        """The point's name of a node id, or None where it is no point."""
        name = node_id.Identifier
        return name if name in self._values and self._values[name][0] == node_id else None

    def keep_history_in(self, storage: HistoryStorageInterface) -> None:
        self.iserver.history_manager.set_storage(storage)

    # For a replay that must not outrun its reader

    def subscribed(self) -> set[str]:
        """The points that a client has under watch."""
        return {self.node_name(item.read_value_id.NodeId) or "" for _, item in self._items()} - {""}

    def room(self) -> int:
        """Samples that every watched point takes before a queue overflows; 0 while any sample waits to be sent."""
        items = self._items()
        if any(sub._triggered_datachanges for sub, _ in items):
            return 0
        return min((item.queue_size for _, item in items), default=0)

    def is_delivered(self) -> bool:
        """Whether all that was shown is acknowledged by the clients that watch."""
        subscriptions = self.iserver.subscription_service.subscriptions.values()
        return not any(s._triggered_datachanges or s._not_acknowledged_results for s in subscriptions)

    def _items(self) -> list[tuple["_Subscription", MonitoredItemData]]:
        return [
            (sub, item)
            for sub in self.iserver.subscription_service.subscriptions.values()
            for item in sub.monitored_item_srv._monitored_items.values()
            if item.read_value_id and self.node_name(item.read_value_id.NodeId)
        ]

    async def stop(self) -> None:
        for transport in list(self.iserver.asyncio_transports):
            transport.abort()  # a client that does not listen must not hold the end up
        await super().stop()


def _variable(data_type: ua.NodeId) -> ua.VariableAttributes:
    attributes = ua.VariableAttributes()
    attributes.DataType, attributes.ValueRank, attributes.ArrayDimensions = data_type, ua.ValueRank.Scalar, None
    attributes.WriteMask = attributes.UserWriteMask = 0
    attributes.Historizing = False
    attributes.AccessLevel = attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    return attributes


def _unit(name: str) -> ua.EUInformation:
    code = 0
    for letter in EU_CODES.get(name, ""):
        code = code << 8 | ord(letter)
    return ua.EUInformation(
        NamespaceUri=EU_NAMESPACE,
        UnitId=code or -1,
        DisplayName=ua.LocalizedText(name),
        Description=ua.LocalizedText(name),
    )


class _Users(UserManager):
    """Users by password. Who may write at all is an administrator, so that the server itself refuses nothing."""

    def __init__(self, users: Mapping[str, str], allow_writes: bool) -> None:
        self.users, self.role = dict(users), UserRole.Admin if allow_writes else UserRole.User

    def get_user(self, iserver, username=None, password=None, certificate=None) -> User | None:
        if username is None:
            return User(self.role, "anonymous")
        known = self.users.get(username)
        if known is None or not hmac.compare_digest(known.encode(), (password or "").encode()):
            return None
        return User(self.role, username)


class _MonitoredItems(MonitoredItemService):
    """Reports what differs from the last report by more than the deadband."""

    async def _create_data_change_monitored_item(self, params):
        wanted = params.RequestedParameters
        if not hasattr(wanted.Filter, "DeadbandType"):  # the decoder's class is not the one that `ua` names
            wanted.Filter = None
        elif wanted.Filter.DeadbandType == ua.DeadbandType.Percent and not self._span(params.ItemToMonitor.NodeId):
            return ua.MonitoredItemCreateResult(
                StatusCode=ua.StatusCode(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            )
        return await super()._create_data_change_monitored_item(params)

    async def datachange_callback(self, handle: int, value: ua.DataValue, error: ua.StatusCode | None = None) -> None:
        if error:
            await super().datachange_callback(handle, value, error)
            return
        item_id = self._monitored_datachange[handle]
        item = self._monitored_items[item_id]
        if item.mode == ua.MonitoringMode.Disabled:
            return
        last = item.mvalue.current_dvalue
        if last is not None and not self._is_news(item, last, value):
            return
        item.mvalue.current_dvalue = value
        event = ua.MonitoredItemNotification(ClientHandle=item.client_handle, Value=value)
        await self.isub.enqueue_datachange_event(item_id, event, item.queue_size)

    def _is_news(self, item: MonitoredItemData, last: ua.DataValue, new: ua.DataValue) -> bool:
        trigger = ua.DataChangeTrigger.StatusValue if item.filter is None else item.filter.Trigger
        if last.StatusCode != new.StatusCode:
            return True
        if trigger == ua.DataChangeTrigger.Status:
            return False
        if trigger == ua.DataChangeTrigger.StatusValueTimestamp and last.SourceTimestamp != new.SourceTimestamp:
            return True
        old, now = last.Value.Value, new.Value.Value
        if not isinstance(old, float | int) or not isinstance(now, float | int):
            return old != now
        if math.isnan(old) or math.isnan(now):
            return math.isnan(old) != math.isnan(now)
        return old != now and abs(now - old) > self._band(item)

    def _band(self, item: MonitoredItemData) -> float:
        kind = ua.DeadbandType.None_ if item.filter is None else item.filter.DeadbandType
        if kind == ua.DeadbandType.Absolute:
            return item.filter.DeadbandValue
        if kind == ua.DeadbandType.Percent:
            return item.filter.DeadbandValue / 100 * self._span(item.read_value_id.NodeId)
        return -1.0

    def _span(self, node_id: ua.NodeId) -> float | None:
        """High less low of a node's EURange; None where it has none."""
        node = self.aspace.get(node_id)
        for reference in node.references if node else ():
            if reference.BrowseName.Name == "EURange" and reference.IsForward:
                found = self.aspace.read_attribute_value(reference.NodeId, ua.AttributeIds.Value).Value.Value
                return found.High - found.Low
        return None


class _Subscription(InternalSubscription):
    """Marks the sample after a lost one with the overflow bit, and tells when its queues were emptied."""

    def __init__(self, data: ua.CreateSubscriptionResult, aspace: AddressSpace, *rest, **options) -> None:
        super().__init__(data, aspace, *rest, **options)
        self.monitored_item_srv = _MonitoredItems(self, aspace)

    async def _enqueue_event(self, mid, eventdata, size, queue) -> None:
        waiting = queue.get(mid)
        if waiting is None or not size or len(waiting) < size or not hasattr(eventdata, "Value"):
            await super()._enqueue_event(mid, eventdata, size, queue)
            return
        waiting.pop(0)
        waiting.append(eventdata)
        if size > 1:
            first = waiting[0]
            code = first.Value.StatusCode.value if first.Value.StatusCode else 0
            waiting[0] = ua.MonitoredItemNotification(
                ClientHandle=first.ClientHandle,
                Value=dataclasses.replace(first.Value, StatusCode=ua.StatusCode(code | OVERFLOW)),
            )

    def _pop_triggered_datachanges(self, result) -> None:
        super()._pop_triggered_datachanges(result)
        self._tell()

    def publish(self, acks) -> None:
        super().publish(acks)
        self._tell()

    def _tell(self) -> None:
        self.monitored_item_srv.aspace.published.set()


class _Counting(UaProcessor):
    async def _process_message(self, typeid, requesthdr, seqhdr, body):
        self.iserver.requests[_service(typeid)] += 1
        return await super()._process_message(typeid, requesthdr, seqhdr, body)


def _service(typeid: ua.NodeId) -> str:
    """Write, Read …: the service whose request it is."""
    name = ua.ObjectIdNames.get(typeid.Identifier, str(typeid.Identifier))
    return name.removesuffix("_Encoding_DefaultBinary").removesuffix("Request")


def _subscription(data: ua.CreateSubscriptionResult, aspace: AddressSpace, *rest, **options) -> InternalSubscription:
    """Ours for a `PlantServer`; any other server in this process keeps asyncua's."""
    kind = _Subscription if hasattr(aspace, "published") else InternalSubscription
    return kind(data, aspace, *rest, **options)


def _processor(iserver: InternalServer, *rest) -> UaProcessor:
    return (_Counting if hasattr(iserver, "requests") else UaProcessor)(iserver, *rest)


subscription_service.InternalSubscription = _subscription
binary_server_asyncio.UaProcessor = _processor
