"""Reading an address space: addresses with namespace URIs, attributes and references in portions a server takes.

An address is a node id with the URI of its namespace: `nsu=urn:maker:plc;s=MES-01.THP`. The number of a namespace
(`ns=2`) is the server's own and changes at its restart, so it is never stored.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from asyncua import ua

from include.ot.opcua_guard import ReadOnlyClient

_TOO_MUCH = {
    ua.StatusCodes.BadTooManyOperations,
    ua.StatusCodes.BadRequestTooLarge,
    ua.StatusCodes.BadResponseTooLarge,
    ua.StatusCodes.BadEncodingLimitsExceeded,
}

T, R = TypeVar("T"), TypeVar("R")
OPC_UA = "http://opcfoundation.org/UA/"  # namespace 0


class BadAddress(ValueError):
    """An address that is none, or whose namespace the server does not have; the message says which."""


@dataclass(frozen=True)
class Limits:
    """How much a server takes in one request."""

    read: int = 1000
    browse: int = 100
    history: int = 20
    items: int = 1000


@dataclass(frozen=True)
class Property:
    """What a node says about itself beside its value."""

    eu_range: tuple[float, float] | None = None
    units: ua.EUInformation | None = None


def resolve(address: str, namespaces: Sequence[str]) -> ua.NodeId:
    """The node id of an address on a server with these namespaces."""
    try:
        node_id = ua.NodeId.from_string(address.strip())
    except (ua.UaError, ValueError) as error:
        raise BadAddress(
            f"{address!r} is no OPC UA address; write nsu=<namespace URI>;s=<name> (or i=, g=, b=)"
        ) from error
    uri = getattr(node_id, "NamespaceUri", None)
    if uri is None:
        if node_id.NamespaceIndex:
            raise BadAddress(
                f"{address!r} holds a namespace number, which changes when the server restarts; write its URI: nsu="
            )
        return node_id
    if uri not in namespaces:
        raise BadAddress(f"The server has no namespace {uri!r}; it has {', '.join(namespaces)}")
    return ua.NodeId(node_id.Identifier, namespaces.index(uri), node_id.NodeIdType)


def address_of(node_id: ua.NodeId, namespaces: Sequence[str]) -> str:
    """The address of a node id: what `resolve` takes on this server and on the restarted one."""
    plain = ua.NodeId(node_id.Identifier, 0, node_id.NodeIdType).to_string()
    return f"nsu={namespaces[node_id.NamespaceIndex]};{plain}" if node_id.NamespaceIndex else plain


async def namespaces(client: ReadOnlyClient) -> list[str]:
    """The server's namespace URIs, by number."""
    return list(await client.nodes.namespace_array.read_value())


async def limits(client: ReadOnlyClient) -> Limits:
    """What the server says that it takes in one request, and no more than suits us; a server may not say."""
    ids = ua.ObjectIds
    asked = (
        ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
        ids.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    )
    ours = Limits()
    said = await read(client, [(ua.NodeId(i), ua.AttributeIds.Value) for i in asked], len(asked))
    numbers = [value_of(data) for data in said]
    return Limits(
        *(
            min(number, own) if isinstance(number, int) and number > 0 else own
            for number, own in zip(numbers, (ours.read, ours.browse, ours.history, ours.items), strict=True)
        )
    )


async def read(
    client: ReadOnlyClient, wanted: Sequence[tuple[ua.NodeId, ua.AttributeIds]], portion: int
) -> list[ua.DataValue]:
    """Attributes of nodes, in order; a node that is not there has its reason as status."""

    async def read_part(part: Sequence[tuple[ua.NodeId, ua.AttributeIds]]) -> list[ua.DataValue]:
        return await client.uaclient.session.read(
            ua.ReadParameters(
                MaxAge=0,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                NodesToRead=[ua.ReadValueId(NodeId=node_id, AttributeId=attribute) for node_id, attribute in part],
            )
        )

    return await in_portions(wanted, portion, read_part)


def value_of(data: ua.DataValue) -> Any:
    """The value where the read was good, else None."""
    return data.Value.Value if data.StatusCode.is_good() and data.Value is not None else None


async def browse(
    client: ReadOnlyClient,
    node_ids: Sequence[ua.NodeId],
    portion: int,
    reference: int = ua.ObjectIds.HierarchicalReferences,
    direction: ua.BrowseDirection = ua.BrowseDirection.Forward,
) -> list[list[ua.ReferenceDescription]]:
    """The references of each node, all of them: a server that gives them in pieces is asked for the rest."""

    async def browse_part(part: Sequence[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
        results = await client.uaclient.session.browse(
            ua.BrowseParameters(
                View=ua.ViewDescription(),
                RequestedMaxReferencesPerNode=0,
                NodesToBrowse=[
                    ua.BrowseDescription(
                        NodeId=node_id,
                        BrowseDirection=direction,
                        ReferenceTypeId=ua.NodeId(reference),
                        IncludeSubtypes=True,
                        NodeClassMask=0,
                        ResultMask=ua.BrowseResultMask.All,
                    )
                    for node_id in part
                ],
            )
        )
        found = [list(result.References or ()) for result in results]
        points = {i: result.ContinuationPoint for i, result in enumerate(results) if result.ContinuationPoint}
        while points:
            more = await client.uaclient.session.browse_next(
                ua.BrowseNextParameters(ReleaseContinuationPoints=False, ContinuationPoints=list(points.values()))
            )
            order, points = list(points), {}
            for i, result in zip(order, more, strict=True):
                found[i].extend(result.References or ())
                if result.ContinuationPoint:
                    points[i] = result.ContinuationPoint
        return found

    return await in_portions(node_ids, portion, browse_part)


async def properties(client: ReadOnlyClient, node_ids: Sequence[ua.NodeId], limit: Limits) -> list[Property]:
    """EURange and EngineeringUnits of each node, where it has them."""
    references = await browse(client, node_ids, limit.browse, ua.ObjectIds.HasProperty)
    wanted: list[tuple[int, str, ua.NodeId]] = [
        (i, reference.BrowseName.Name, local(reference.NodeId))
        for i, of_node in enumerate(references)
        for reference in of_node
        if reference.BrowseName.NamespaceIndex == 0 and reference.BrowseName.Name in ("EURange", "EngineeringUnits")
    ]
    values = await read(client, [(node_id, ua.AttributeIds.Value) for *_, node_id in wanted], limit.read)
    found: list[dict[str, Any]] = [{} for _ in node_ids]
    for (i, name, _), data in zip(wanted, values, strict=True):
        value = value_of(data)
        if name == "EURange" and isinstance(value, ua.Range) and value.High > value.Low:
            found[i]["eu_range"] = (float(value.Low), float(value.High))
        elif name == "EngineeringUnits" and isinstance(value, ua.EUInformation):
            found[i]["units"] = value
    return [Property(**one) for one in found]


def local(node_id: ua.NodeId) -> ua.NodeId:
    """A node id without the wrapping in which references come."""
    return ua.NodeId(node_id.Identifier, node_id.NamespaceIndex, node_id.NodeIdType)


async def in_portions(items: Sequence[T], size: int, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> list[R]:
    """One result per item; a portion that is too much for the server is halved."""
    found: list[R] = []
    for part in portions(items, size):
        try:
            found.extend(await call(part))
        except ua.UaStatusCodeError as error:
            if error.code not in _TOO_MUCH or len(part) == 1:
                raise
            found.extend(await in_portions(part, len(part) // 2, call))
    return found


def portions(items: Iterable[T], size: int) -> Iterable[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
