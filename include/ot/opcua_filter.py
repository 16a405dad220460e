"""What the server is to send of one tag: the filter that its deadband allows.

*Trigger.* A tag without a deadband is mirrored whole: status, value and timestamp trigger, so a value that was
measured again and came out the same is a reading too, and a steady sensor does not look like a dead one. A deadband
(0 included) says that only changes matter: status and value. OPC UA ignores the timestamp there anyway.

*Deadband.* Absolute is the server's work. Percent is of the node's EURange; a node without one gets the same share
of the tag's own range as an absolute deadband. What a server refuses is left out step by step, and said.
"""

from dataclasses import dataclass

from asyncua import ua

from include.ot.opcua_nodes import Property
from include.ot.tags import Tag

_CODES = ua.StatusCodes
FILTER_REFUSED = {
    _CODES.BadMonitoredItemFilterInvalid,
    _CODES.BadMonitoredItemFilterUnsupported,
    _CODES.BadFilterNotAllowed,
    _CODES.BadDeadbandFilterInvalid,
    _CODES.BadStructureMissing,
}


@dataclass(frozen=True)
class Choice:
    """One way to ask for a tag: a filter, and what has to be said about it."""

    filter: ua.DataChangeFilter | None
    note: str | None = None


def choices(tag: Tag, node: Property | None = None) -> list[Choice]:
    """The filters to try for a tag, the one that is wanted first."""
    plain = Choice(None, "the server takes no filter: it decides itself what a change is")
    whole = Choice(_filter(ua.DataChangeTrigger.StatusValueTimestamp))
    if tag.deadband is None:
        return [whole, plain]
    changes = _filter(ua.DataChangeTrigger.StatusValue)
    if tag.data_type in ("boolean", "text"):
        return [Choice(changes, f"a deadband means nothing for a {tag.data_type}"), plain]
    without = Choice(changes, f"the server refused the deadband {tag.deadband:g} {tag.deadband_type}")
    if tag.deadband_type == "absolute":
        return [Choice(_filter(ua.DataChangeTrigger.StatusValue, 1, tag.deadband)), without, plain]
    if node is not None and node.eu_range:
        low, high = node.eu_range
        share = (high - low) * tag.deadband / 100
        return [
            Choice(_filter(ua.DataChangeTrigger.StatusValue, 2, tag.deadband)),
            Choice(
                _filter(ua.DataChangeTrigger.StatusValue, 1, share),
                f"the server refused a percent deadband; {share:g} absolute instead, of its EURange",
            ),
            without,
            plain,
        ]
    if tag.range_low is not None and tag.range_high is not None:
        share = (tag.range_high - tag.range_low) * tag.deadband / 100
        note = f"the node has no EURange; deadband {share:g} absolute instead, of the tag's own range"
        return [Choice(_filter(ua.DataChangeTrigger.StatusValue, 1, share), note), without, plain]
    return [Choice(changes, "neither node nor tag has a range: the percent deadband is left out"), plain]


def _filter(trigger: ua.DataChangeTrigger, deadband_type: int = 0, deadband: float = 0.0) -> ua.DataChangeFilter:
    return ua.DataChangeFilter(Trigger=trigger, DeadbandType=deadband_type, DeadbandValue=float(deadband))
