"""What an OPC UA server remembers: raw HistoryRead of tags between two times, in chunks."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asyncua import ua

from include.errors import NoHistory
from include.ot import opcua_nodes
from include.ot.opcua_nodes import BadAddress
from include.ot.opcua_session import Session, connect, options_of
from include.ot.opcua_values import sample_of
from include.ot.reading import Sample
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.trust import Pki

log = logging.getLogger(__name__)

PATIENCE = 6  # a server may search longer than it answers anything else
_CODES = ua.StatusCodes
_NO_SERVICE = {  # said of the request as a whole
    _CODES.BadServiceUnsupported,
    _CODES.BadHistoryOperationUnsupported,
    _CODES.BadHistoryOperationInvalid,
    _CODES.BadNotImplemented,
    _CODES.BadNotSupported,
}
_WITHOUT = _NO_SERVICE | {  # said of one node
    _CODES.BadNotReadable,
    _CODES.BadUserAccessDenied,
    _CODES.BadNodeIdUnknown,
    _CODES.BadNodeIdInvalid,
}
_NO_DATA = {_CODES.BadNoData, _CODES.BadBoundNotFound}


@dataclass
class _Node:
    """Where the reading of one tag's history stands."""

    tag: Tag
    node_id: ua.NodeId
    from_at: datetime
    point: bytes | None = None
    last_at: datetime | None = None  # of the last value
    tail: list[tuple] = field(default_factory=list)  # the values so far at that time


async def history(
    source: Source, tags: Sequence[Tag], from_at: datetime, to_at: datetime, store: Pki | None = None
) -> AsyncIterator[Sample]:
    """The samples that the server kept of the tags between two times, both included; each tag's in order of time.

    Raises `NoHistory`, naming them, when some of the tags have none: at once when none has, otherwise after the
    samples of the others.
    """
    options = options_of(source)
    if not options.history:
        raise NoHistory(f"Source {source.name} says that its server keeps no history (history: false)")
    session = await connect(source, store)
    try:
        nodes, without = await _with_history(session, tags, from_at)
        if not nodes:
            raise NoHistory(_said(source, without), without)
        limit = await opcua_nodes.limits(session)
        session.wait_for_answers(PATIENCE * options.timeout_s)
        portion = limit.history
        while nodes:
            part, nodes = nodes[:portion], nodes[portion:]
            while part:
                results = await _ask(session, part, to_at, options.history_chunk)
                if results is None:  # the service as a whole
                    raise NoHistory(_said(source, {n.tag.tag_id: "the server has no HistoryRead" for n in part}))
                now = datetime.now(UTC)
                left = []
                for node, result in zip(part, results, strict=True):
                    code = result.StatusCode.value
                    if code == _CODES.BadNoContinuationPoints and len(part) > 1:
                        portion = 1  # the server remembers few unfinished reads: one at a time
                        nodes.append(node)
                    elif code in _WITHOUT:
                        without[node.tag.tag_id] = result.StatusCode.name
                    elif code not in _NO_DATA:
                        result.StatusCode.check()
                        values = _values(result)
                        for data in _news(node, values):
                            yield sample_of(node.tag.tag_id, data, now)[0]
                        if _has_more(node, result, values, options.history_chunk):
                            left.append(node)
                part = left
        if without:
            raise NoHistory(_said(source, without), without)
    finally:
        await session.close()


async def _with_history(session: Session, tags: Sequence[Tag], from_at: datetime) -> tuple[list[_Node], dict[str, str]]:
    """The tags whose nodes say that their history can be read, and why not those of the others."""
    known = await opcua_nodes.namespaces(session)
    limit = await opcua_nodes.limits(session)
    nodes, without = [], {}
    for tag in tags:
        try:
            nodes.append(_Node(tag, opcua_nodes.resolve(tag.address, known), from_at))
        except BadAddress as error:
            without[tag.tag_id] = str(error)
    levels = await opcua_nodes.read(
        session, [(node.node_id, ua.AttributeIds.UserAccessLevel) for node in nodes], limit.read
    )
    able = []
    for node, data in zip(nodes, levels, strict=True):
        level = opcua_nodes.value_of(data)
        if level is None and not data.StatusCode.is_good():
            without[node.tag.tag_id] = data.StatusCode.name
        elif isinstance(level, int) and not level >> ua.AccessLevel.HistoryRead & 1:
            without[node.tag.tag_id] = "the node keeps no history, or none for this user"
        else:
            able.append(node)
    return able, without


async def _ask(
    session: Session, nodes: Sequence[_Node], to_at: datetime, chunk: int
) -> list[ua.HistoryReadResult] | None:
    """One HistoryRead; the nodes must be at the same start unless they have continuation points."""
    starts = {node.from_at for node in nodes}
    if len(starts) > 1:
        results = []
        for node in nodes:
            results += await _ask(session, [node], to_at, chunk) or []
        return results
    parameters = ua.HistoryReadParameters(
        HistoryReadDetails=ua.ReadRawModifiedDetails(
            IsReadModified=False,
            StartTime=nodes[0].from_at,
            EndTime=to_at + timedelta(microseconds=1),  # a server may take the end as not included
            NumValuesPerNode=chunk,
            ReturnBounds=False,
        ),
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ReleaseContinuationPoints=False,
        NodesToRead=[ua.HistoryReadValueId(NodeId=n.node_id, ContinuationPoint=n.point) for n in nodes],
    )
    try:
        return await session.uaclient.session.history_read(parameters)
    except ua.UaStatusCodeError as error:
        if error.code in _NO_SERVICE:
            return None
        raise


def _values(result: ua.HistoryReadResult) -> list[ua.DataValue]:
    return list(getattr(result.HistoryData, "DataValues", None) or ())


def _news(node: _Node, values: Sequence[ua.DataValue]) -> Sequence[ua.DataValue]:
    """The values that the chunk before did not hold: one may start again at the time where that one ended."""
    repeated = len(node.tail)
    if repeated and [_key(data) for data in values[:repeated]] == node.tail:
        values = values[repeated:]
    for data in values:
        at = data.SourceTimestamp or data.ServerTimestamp
        node.tail = [*node.tail, _key(data)] if at == node.last_at else [_key(data)]
        node.last_at = at
    return values


def _key(data: ua.DataValue) -> tuple:
    return data.SourceTimestamp or data.ServerTimestamp, repr(data.Value), data.StatusCode.value


def _has_more(node: _Node, result: ua.HistoryReadResult, values: Sequence[ua.DataValue], chunk: int) -> bool:
    """Set the node to where it goes on. A full chunk without a continuation point is not taken for the end."""
    node.point = result.ContinuationPoint or None
    if node.point:
        return True
    if len(values) < chunk or node.last_at is None:
        return False
    if node.last_at == node.from_at and len(node.tail) >= chunk:
        log.warning("%s: more than %d values at %s; the rest is left out", node.tag.tag_id, chunk, node.last_at)
        return False
    node.from_at = node.last_at
    return True


def _said(source: Source, without: dict[str, str]) -> str:
    some = "; ".join(f"{tag_id}: {reason}" for tag_id, reason in list(without.items())[:5])
    return f"Source {source.name}: no history of {len(without)} tags: {some}"
