"""An OPC UA server for tests: it allows writes, counts every request by service, and can misbehave.

What asyncua's server lacks and the mirror must cope with is added here: the overflow bit, percent deadbands that are
refused, references and history in pieces, a clock that is off, messages that get lost.
"""

import asyncio
import contextlib
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MethodType
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.uacrypto import der_from_x509, x509
from asyncua.crypto.validator import ExtendedKeyUsageOID
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.history import HistoryDict
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from cryptography.hazmat.primitives import hashes

from include.ot.opcua_guard import service_of

URI = "urn:hnai:test:field"
USER, PASSWORD = "operator", "right-of-way"
OVERFLOW = 0x00000480
OWN_NODES = (29, 85, 2253, 2254, 2255, 2256, 2257, 2258, 2259, 2260, *range(2261, 2268), *range(11702, 11720), 12165)

_template: dict | None = None


@dataclass
class Behaviour:
    """How the server misbehaves; changed by a test while it runs."""

    refuse_percent: bool = False
    refuse_filters: bool = False
    per_browse: int = 0  # references given at once; 0 is all
    forget_messages: bool = False  # answers no Republish
    drop_publish: int = 0  # publish answers that get lost on their way
    most_operations: int = 0  # operations in one request; 0 is no limit
    clock_off: timedelta = timedelta(0)
    no_history_service: bool = False
    is_silent: bool = False  # takes requests and answers none


@dataclass
class Field:
    """The server under test."""

    server: Server
    url: str
    idx: int
    seen: Counter = field(default_factory=Counter)
    behaviour: Behaviour = field(default_factory=Behaviour)
    asked: list[Any] = field(default_factory=list)  # the monitored items asked for

    def address(self, name: str) -> str:
        return f"nsu={URI};s={name}"

    def node(self, name: str) -> Any:
        return self.server.get_node(ua.NodeId(name, self.idx))

    async def add(
        self,
        name: str,
        value: Any = 0.0,
        kind: ua.VariantType | None = ua.VariantType.Double,
        *,
        eu_range: tuple[float, float] | None = None,
        units: ua.EUInformation | None = None,
        parent: Any = None,
        data_type: ua.NodeId | None = None,
        at: datetime | None = None,
    ) -> Any:
        """A variable that clients may write."""
        parent = parent if parent is not None else self.server.nodes.objects
        node = await parent.add_variable(ua.NodeId(name, self.idx), name, value, kind, datatype=data_type)
        await node.set_writable()
        if eu_range:
            low, high = eu_range
            await node.add_property(0, "EURange", ua.Range(low, high))
        if units:
            await node.add_property(0, "EngineeringUnits", units)
        if at is not None:
            await self.set(name, value, kind, at=at)
        return node

    async def set(
        self,
        name: str,
        value: Any,
        kind: ua.VariantType | None = ua.VariantType.Double,
        *,
        at: datetime | None | str = "now",
        status: int = 0,
    ) -> None:
        now = datetime.now(UTC)
        data = ua.DataValue(
            value if isinstance(value, ua.Variant) else ua.Variant(value, kind),
            ua.StatusCode(status),
            SourceTimestamp=now if at == "now" else at,
            ServerTimestamp=now,
        )
        await self.server.write_attribute_value(ua.NodeId(name, self.idx), data)

    def cut(self) -> None:
        """Break every connection, as a network does; sessions and subscriptions stay."""
        for transport in list(self.server.iserver.asyncio_transports):
            transport.abort()

    def forget(self) -> None:
        """Lose every session and subscription, as a restart does."""
        for subscription in list(self.server.iserver.subscription_service.subscriptions.values()):
            if subscription._task:
                subscription._task.cancel()
        self.server.iserver.subscription_service.subscriptions.clear()
        self.server.iserver._external_sessions.clear()
        self.cut()

    @property
    def monitored(self) -> int:
        subscriptions = self.server.iserver.subscription_service.subscriptions.values()
        return sum(len(s.monitored_item_srv._monitored_items) for s in subscriptions)


class _Users:
    def get_user(self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None):
        if username is None:
            return User(role=UserRole.User)
        return User(role=UserRole.Admin, name=username) if (username, password) == (USER, PASSWORD) else None


class _Quick(InternalServer):
    """A server whose standard nodes are built once per process; those that change are its own."""

    field: Field

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        global _template
        if _template is None:
            await super().load_standard_address_space(shelf_file)
            _template = dict(self.aspace._nodes)
        own = {ua.NodeId(i) for i in OWN_NODES}
        self.aspace._nodes = {n: copy.deepcopy(data) if n in own else data for n, data in _template.items()}


class _CountingProcessor(UaProcessor):
    async def process(self, header: Any, body: Any) -> bool:
        if header.MessageType == ua.MessageType.SecureOpen:
            self._field.seen["OpenSecureChannel"] += 1
        elif header.MessageType == ua.MessageType.SecureClose:
            self._field.seen["CloseSecureChannel"] += 1
        return await super().process(header, body)

    @property
    def _field(self) -> Field:
        return self.iserver.field

    async def process_message(self, seqhdr: Any, body: Buffer) -> Any:
        service = service_of(bytes(body))
        self._field.seen[service] += 1
        behaviour = self._field.behaviour
        if behaviour.is_silent:
            return True
        requesthdr_body = body.copy()
        nodeid_from_binary(requesthdr_body)
        requesthdr = struct_from_binary(ua.RequestHeader, requesthdr_body)
        try:
            self._refuse(service, requesthdr_body.copy(), behaviour)
        except ServiceError as error:
            response = ua.ServiceFault()
            response.ResponseHeader.ServiceResult = ua.StatusCode(error.code)
            self.send_response(requesthdr.RequestHandle, seqhdr, response)
            return True
        if behaviour.per_browse and service in ("Browse", "BrowseNext"):
            await self._browse_in_pieces(service, requesthdr, seqhdr, requesthdr_body, behaviour.per_browse)
            return True
        return await super().process_message(seqhdr, body)

    def _refuse(self, service: str, body: Buffer, behaviour: Behaviour) -> None:
        if service == "HistoryRead" and behaviour.no_history_service:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if (
            service == "HistoryRead"
            and struct_from_binary(ua.HistoryReadParameters, body.copy()).ReleaseContinuationPoints
        ):
            raise ServiceError(ua.StatusCodes.BadInvalidArgument)  # asyncua's server takes no notice of it
        if service == "Republish" and behaviour.forget_messages:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        if behaviour.most_operations:
            kinds = {
                "Read": (ua.ReadParameters, "NodesToRead"),
                "Browse": (ua.BrowseParameters, "NodesToBrowse"),
                "CreateMonitoredItems": (ua.CreateMonitoredItemsParameters, "ItemsToCreate"),
            }
            if service in kinds:
                kind, name = kinds[service]
                if len(getattr(struct_from_binary(kind, body), name)) > behaviour.most_operations:
                    raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    async def _browse_in_pieces(self, service: str, requesthdr: Any, seqhdr: Any, body: Buffer, size: int) -> None:
        rest: dict[bytes, list] = self.iserver.__dict__.setdefault("rest_of_browse", {})

        def piece(references: list) -> ua.BrowseResult:
            result = ua.BrowseResult(References=references[:size])
            if references[size:]:
                result.ContinuationPoint = str(len(rest)).encode()
                rest[result.ContinuationPoint] = references[size:]
            return result

        if service == "Browse":
            results = await self.session.browse(struct_from_binary(ua.BrowseParameters, body))
            response = ua.BrowseResponse(Results=[piece(list(r.References)) for r in results])
        else:
            points = struct_from_binary(ua.BrowseNextParameters, body).ContinuationPoints
            response = ua.BrowseNextResponse()
            response.Parameters.Results = [piece(rest[point]) for point in points]
        self.send_response(requesthdr.RequestHandle, seqhdr, response)

    async def forward_publish_response(self, result: ua.PublishResult, requestdata: Any) -> None:
        behaviour = self._field.behaviour
        if behaviour.is_silent:
            return
        if behaviour.drop_publish and result.NotificationMessage.NotificationData:
            behaviour.drop_publish -= 1
            self._publish_requests.appendleft(requestdata)  # the answer got lost, the next one uses the request
            return
        await super().forward_publish_response(result, requestdata)


class _Protocol(OPCUAProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.processor = _CountingProcessor(self.iserver, self.transport, self.limits)
        self.processor.set_policies(self.policies)


class _Listener(BinaryServer):
    def _make_protocol(self) -> OPCUAProtocol:
        return _Protocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class _Server(Server):
    async def start(self) -> None:
        await self._setup_server_nodes()
        await self.iserver.start()
        self.bserver = _Listener(self.iserver, *self._get_bind_socket_info(), self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()


async def _enqueue_with_overflow(self, mid: int, eventdata: Any, size: int, queue: dict) -> None:
    """As OPC UA says: the oldest goes, and the next one carries the overflow bit."""
    if size > 1 and len(queue.get(mid, ())) >= size:
        queue[mid].pop(0)
        oldest = copy.copy(queue[mid][0])
        oldest.Value = copy.copy(oldest.Value)
        oldest.Value.StatusCode = ua.StatusCode(oldest.Value.StatusCode.value | OVERFLOW)
        queue[mid][0] = oldest
    await InternalSubscription._enqueue_event(self, mid, eventdata, size, queue)


def _watch_items(made: Field) -> None:
    """Note what clients ask to monitor, and refuse what the behaviour refuses."""
    service = made.server.iserver.subscription_service
    create, subscribe = service.create_monitored_items, service.create_subscription

    async def create_subscription(*args: Any, **kwargs: Any) -> ua.CreateSubscriptionResult:
        result = await subscribe(*args, **kwargs)
        subscription = service.subscriptions[result.SubscriptionId]
        subscription._enqueue_event = MethodType(_enqueue_with_overflow, subscription)
        return result

    async def create_monitored_items(params: ua.CreateMonitoredItemsParameters) -> list:
        made.asked.extend(params.ItemsToCreate)
        results = []
        for item in params.ItemsToCreate:
            asked = item.RequestedParameters.Filter
            refused = None
            if asked and made.behaviour.refuse_filters:
                refused = ua.StatusCodes.BadFilterNotAllowed
            elif asked and asked.DeadbandType == 2 and made.behaviour.refuse_percent:
                refused = ua.StatusCodes.BadDeadbandFilterInvalid
            if refused:
                results.append(ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(refused)))
            else:
                one = ua.CreateMonitoredItemsParameters(params.SubscriptionId, params.TimestampsToReturn, [item])
                results.extend(await create(one))
        return results

    service.create_monitored_items = create_monitored_items
    service.create_subscription = create_subscription


@contextlib.asynccontextmanager
async def field_server(
    *,
    port: int = 0,
    before: tuple[str, ...] = (),
    certificate: tuple[bytes, bytes] | None = None,
    policies: list[ua.SecurityPolicyType] | None = None,
    anonymous: bool = True,
    setup: Callable[[Field], Any] | None = None,
    history_chunk: int = 10_000,
) -> AsyncIterator[Field]:
    """The server, running. `before`: namespaces that take the numbers before ours."""
    server = _Server(iserver=_Quick(user_manager=_Users()))
    server.disable_clock()
    await server.init()
    server.iserver.history_manager.set_storage(HistoryDict(history_chunk))
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/test")
    await server.set_application_uri("urn:hnai:test:server")
    if certificate:
        await server.load_certificate(certificate[0], "der")
        await server.load_private_key(certificate[1], None, "pem")
    server.set_security_policy(policies or [ua.SecurityPolicyType.NoSecurity])
    if not anonymous:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    for uri in before:
        await server.register_namespace(uri)
    made = Field(server, "", await server.register_namespace(URI))
    server.iserver.field = made
    _watch_items(made)
    server.set_attribute_value_callback(
        ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime),
        lambda *_: ua.DataValue(ua.Variant(datetime.now(UTC) + made.behaviour.clock_off, ua.VariantType.DateTime)),
    )
    if setup:
        await setup(made)
    async with server:
        made.url = f"opc.tcp://127.0.0.1:{server.bserver.port}/test"
        yield made
        made.cut()


def certificate(
    *,
    days: tuple[int, int] = (-1, 30),
    uri: str = "urn:hnai:test:server",
    name: str = "Test server",
) -> tuple[bytes, bytes]:
    """A server's certificate (DER) and key (PEM), valid from and until some days from now."""
    key = generate_private_key()
    now = datetime.now(UTC)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return der_from_x509(made), dump_private_key_as_pem(key)


class Pit:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.samples: list = []
        self.batches: list[int] = []
        self.gaps: list[tuple] = []
        self.is_connected = False
        self.detail: dict = {}

    def put(self, samples: Any) -> None:
        self.samples.extend(samples)
        self.batches.append(len(samples))

    def gap(self, tag_ids: Any, from_at: datetime, to_at: datetime, cause: str) -> None:
        self.gaps.append((tuple(tag_ids), from_at, to_at, cause))

    def state(self, is_connected: bool, detail: Any) -> None:
        self.is_connected, self.detail = is_connected, dict(detail)

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        try:
            return await until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; state {self.detail}, gaps {self.gaps}, last {self.samples[-5:]}") from None

    async def got(self, tag_id: str, *values: Any) -> None:
        """Wait until the tag has these values, in this order, others between them allowed."""

        def in_order() -> bool:
            rest = iter(self.values(tag_id))
            return all(value in rest for value in values)

        await self.until(in_order, f"{tag_id} {values}")

    def of(self, tag_id: str) -> list:
        return [s for s in self.samples if s.tag_id == tag_id]

    def values(self, tag_id: str) -> list:
        return [s.value for s in self.of(tag_id)]


async def until(condition: Callable[[], Any], what: str = "", seconds: float = 60) -> Any:
    """Wait for a condition; the deadline is generous and only there so that a failure ends."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"never came: {what}"
        await asyncio.sleep(0.01)
    return found
