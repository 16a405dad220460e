"""Which MQTT topic a reading travels on: `ot/v1/` and the ISA-95 path of the equipment.

One rule for every name: lower case, each character outside `a-z 0-9 _ -` becomes `_`, `/` separates levels, and
empty levels vanish. So no topic holds a dot (the embedded broker keeps topics as dotted subjects), a wildcard,
a space or a leading `$`.
"""

import re

PREFIX = "ot/v1/"
EVERYTHING = f"{PREFIX}#"  # what the recorder subscribes to
LEVELS = {"unit": 1, "area": 2, "site": 3}  # elements of a tag's path that its topic leaves out

_FOREIGN = re.compile(r"[^a-z0-9_/-]")


def topic_of(path: str, level: str = "unit") -> str:
    """The topic of a tag's path: without its last element (`unit`), its last two (`area`) or three (`site`).

    >>> topic_of("hnai/Pad 1.A/MES-001/tubing_head_pressure")
    'ot/v1/hnai/pad_1_a/mes-001'
    """
    elements = [element for element in _FOREIGN.sub("_", path.lower()).split("/") if element]
    return PREFIX + "/".join(elements[: max(1, len(elements) - LEVELS[level])])
