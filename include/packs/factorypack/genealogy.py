"""Follow what went into what: forward to all that holds a lot, backward to all that is in a unit.

A link is an edge from its input to its output. Items are followed breadth first and each once, so a record that makes a
unit a part of itself ends nothing and repeats nothing. How much of the start is in what was reached is reckoned in
fractions: it is exact along a line of splits and assemblies, and along merges and blends whose inputs all hold nothing
else than the start. Behind a blend with others it is the share of a mixture, and said not to be exact; on a cycle, or
where units were packed into a lot, there is none.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

import duckdb
import pyarrow as pa

Direction = Literal["forward", "backward"]
COLUMNS = (
    "link_id",
    "kind",
    "transformation_id",
    "input_id",
    "input_kind",
    "input_product_id",
    "input_quantity",
    "output_id",
    "output_kind",
    "output_product_id",
    "output_quantity",
    "quantity",
    "is_on_cycle",
)
NEAREST = 5


class Link(NamedTuple):
    """A link with its quantities in thousandths, which is what the contract keeps."""

    transformation_id: str | None
    input_id: str
    input_kind: str
    input_product_id: str | None
    input_quantity: int | None
    output_id: str
    output_kind: str
    output_product_id: str | None
    output_quantity: int | None
    quantity: int | None

    @property
    def taken(self) -> int | None:
        """What of the input went in, as far as anyone knows."""
        return self.input_quantity if self.quantity is None else self.quantity


@dataclass(frozen=True)
class Reached:
    """An item that holds something of the start (forward) or of which the start holds something (backward)."""

    item_id: str
    kind: str  # unit, lot or unknown
    product_id: str | None
    depth: int  # links from the start, by the shortest way
    quantity: Decimal | None  # of the start in it (forward), or of it in the start (backward)
    is_exact: bool
    via: tuple[str, ...]  # the items next to it on the way from the start


@dataclass(frozen=True)
class Amount:
    value: Fraction | None
    is_exact: bool


NOTHING, ALL, UNKNOWN = Amount(Fraction(0), True), Amount(Fraction(1), True), Amount(None, False)


class Genealogy:
    """Links in memory, to be asked as often as needed."""

    def __init__(self, links: pa.Table) -> None:
        self._con = duckdb.connect()
        self._con.register("given", links.select(COLUMNS))
        self._con.execute("create table links as select * from given")
        self._con.unregister("given")
        # A record that was moved to another shift stands in both until the shift that it left is closed again.
        (repeated,) = self._con.execute("select count(*) - count(distinct link_id) from links").fetchone()
        if repeated:
            self._con.execute("create or replace table links as select distinct on (link_id) * from links order by all")

    def __enter__(self) -> "Genealogy":
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def knows(self, item_id: str) -> bool:
        query = "select 1 from links where input_id = $item or output_id = $item limit 1"
        return self._con.execute(query, {"item": item_id}).fetchone() is not None

    def nearest(self, item_id: str, count: int = NEAREST) -> list[str]:
        """The known lots and serial numbers that are written most alike."""
        query = """
            select item from (select input_id as item from links union select output_id from links)
            order by jaro_winkler_similarity(lower(item), lower($item)) desc, item limit $count
        """
        return [item for (item,) in self._con.execute(query, {"item": item_id, "count": count}).fetchall()]

    def depths(self, start: str, direction: Direction) -> dict[str, int]:
        """Every item that can be reached, with its distance in links; the start has 0."""
        near, far = ("input_id", "output_id") if direction == "forward" else ("output_id", "input_id")
        con = self._con
        con.execute("create or replace temp table reached (item varchar, depth integer)")
        con.execute("insert into reached values (?, 0)", [start])
        depth = 0
        step = f"""
            insert into reached
            select distinct links.{far}, $depth + 1
            from links
            where links.{near} in (select item from reached where depth = $depth)
                and links.{far} not in (select item from reached)
        """
        while con.execute(step, {"depth": depth}).fetchone()[0]:
            depth += 1
        return dict(con.execute("select item, depth from reached").fetchall())

    def follow(self, start: str, direction: Direction) -> list[Reached]:
        """Everything that can be reached, nearest first, with how much of the start it holds, or the start of it."""
        depths = self.depths(start, direction)
        links = self._links_between(start)
        if any(start == (link.output_id if direction == "forward" else link.input_id) for link in links):
            amounts = dict.fromkeys(depths, UNKNOWN)  # the start is a part of itself
        else:
            amounts = _forward(start, links, depths) if direction == "forward" else _backward(start, links, depths)
        about: dict[str, tuple[str, str | None]] = {}
        via: dict[str, set[str]] = defaultdict(set)
        for link in links:
            ends = [
                (link.input_id, link.input_kind, link.input_product_id),
                (link.output_id, link.output_kind, link.output_product_id),
            ]
            (near, _, _), (far, kind, product_id) = ends if direction == "forward" else ends[::-1]
            if near in depths and far in depths:
                about[far] = (kind, product_id)
                via[far].add(near)
        return [
            Reached(
                item, *about[item], depth, _decimal(amounts[item].value), amounts[item].is_exact, _sorted(via[item])
            )
            for item, depth in sorted(depths.items(), key=lambda pair: (pair[1], pair[0]))
            if item != start
        ]

    def _links_between(self, start: str) -> list[Link]:
        """The links between all that was reached, and those of others into a lot of it, which thin it.

        A rework that gives back its input is none.
        """
        thinned = "(output_kind = 'lot' and output_id <> $start)"
        numbers = ("input_quantity", "output_quantity", "quantity")
        columns = [f"cast(1000 * {name} as bigint)" if name in numbers else name for name in Link._fields]
        query = f"""
            select {", ".join(columns)} from links
            where output_id in (select item from reached) and input_id <> output_id
                and ({thinned} or input_id in (select item from reached))
            order by link_id
        """
        return [Link(*row) for row in self._con.execute(query, {"start": start}).fetchall()]


def _sorted(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(items))


def _decimal(value: Fraction | None) -> Decimal | None:
    """Rounded to six decimals."""
    return None if value is None else (Decimal(round(value * 1_000_000)) / 1_000_000).normalize() + 0


def _forward(start: str, links: Sequence[Link], reached: Mapping[str, int]) -> dict[str, Amount]:
    """How much of the start each reached unit and lot holds."""
    into: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.output_id != start:
            into[link.output_id].append(link)
    found = {start: ALL}
    kinds = {link.input_id: link.input_kind for link in links}
    for item in _in_order(start, links, reached):
        found[item] = _held(into[item], found, kinds)
    return {item: _of_the_whole(found.get(item, UNKNOWN), into[item]) for item in reached}


def _of_the_whole(share: Amount, links: Sequence[Link]) -> Amount:
    """The amount in a lot of which the start has a share; a unit's stays as it is."""
    if share.value is None or not links or links[0].output_kind != "lot":
        return share
    return Amount(share.value * _whole(links), share.is_exact)


def _in_order(start: str, links: Sequence[Link], reached: Mapping[str, int]) -> list[str]:
    """The reached items, each after all of its reached inputs; those on and behind a cycle are left out."""
    waits: dict[str, set[str]] = defaultdict(set)
    nexts: dict[str, set[str]] = defaultdict(set)
    for link in links:
        source, target = link.input_id, link.output_id
        if source in reached and target in reached and target != start:
            waits[target].add(source)
            nexts[source].add(target)
    ready, order = [start], []
    while ready:
        item = ready.pop()
        for target in nexts[item]:
            waits[target].discard(item)
            if not waits[target]:
                ready.append(target)
                order.append(target)
    return order


def _held(links: Sequence[Link], found: Mapping[str, Amount], kinds: Mapping[str, str]) -> Amount:
    """The amount in an item that these links lead into. Units hold pieces of the start, lots a share of it."""
    if links[0].output_kind != "lot":
        value, is_exact = Fraction(0), True
        for link in links:
            one = found.get(link.input_id, NOTHING)
            if one.value is None or link.taken is None:
                return UNKNOWN
            value += one.value * link.taken
            is_exact = is_exact and one.is_exact and (link.quantity is not None or not one.value)
        return Amount(value / 1000, is_exact)
    if any(kinds[link.input_id] == "unit" and link.input_id in found for link in links):
        return UNKNOWN
    shares = [found.get(link.input_id, NOTHING) for link in links]
    if all(one == ALL for one in shares):
        return ALL
    weights = _weights(links)
    if weights is None or any(one.value is None for one in shares):
        return UNKNOWN
    held = sum((one.value * weight for one, weight in zip(shares, weights, strict=True)), Fraction(0))
    return Amount(held / sum(weights), False)


def _weights(links: Sequence[Link]) -> list[Fraction] | None:
    """What each link contributes to the lot that they lead into: its share of the input of its transformation."""
    inputs: dict[str | None, int] = defaultdict(int)
    for link in links:
        if link.input_quantity is None or link.output_quantity is None:
            return None
        inputs[link.transformation_id] += link.input_quantity
    if not all(inputs.values()) or not any(link.output_quantity for link in links):
        return None
    return [Fraction(link.output_quantity * link.input_quantity, inputs[link.transformation_id]) for link in links]


def _backward(start: str, links: Sequence[Link], reached: Mapping[str, int]) -> dict[str, Amount]:
    """How much of each reached item is in the start: in one piece of it, or, of a lot, in the whole of it."""
    into: dict[str, list[Link]] = defaultdict(list)
    waits: dict[str, int] = defaultdict(int)
    for link in links:
        into[link.output_id].append(link)
        waits[link.input_id] += 1
    values: dict[str, Fraction] = defaultdict(Fraction)
    exact: dict[str, bool] = defaultdict(lambda: True)
    is_lot = bool(into[start]) and into[start][0].output_kind == "lot"
    values[start] = _whole(into[start]) if is_lot else Fraction(1)
    ready, done = [start], {}
    while ready:
        item = ready.pop()
        done[item] = Amount(values[item], exact[item])
        for link, (part, is_exact) in zip(into[item], _parts(into[item], values[item]), strict=True):
            values[link.input_id] += part
            exact[link.input_id] &= exact[item] and is_exact
            waits[link.input_id] -= 1
            if not waits[link.input_id]:
                ready.append(link.input_id)
    return {item: done.get(item, UNKNOWN) for item in reached}


def _whole(links: Sequence[Link]) -> Fraction:
    """What transformations put into the lot that these links lead into; each link says the output of its own."""
    outputs = {link.transformation_id: link.output_quantity or 0 for link in links}
    return Fraction(sum(outputs.values()), 1000)


def _parts(links: Sequence[Link], amount: Fraction) -> list[tuple[Fraction, bool]]:
    """How much of each input is in `amount` of what they lead into, and whether that is exact; losses left out."""
    if not links:
        return []
    if links[0].output_kind != "lot":
        return [(amount * Fraction(link.taken or 0, 1000), link.quantity is not None) for link in links]
    if len(links) == 1:
        return [(amount, True)]
    weights = _weights(links)
    if weights is None:
        return [(Fraction(0), False)] * len(links)
    return [(amount * weight / sum(weights), False) for weight in weights]
