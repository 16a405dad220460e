"""Following links: everything that can be reached, once, with quantities that are exact where they can be."""

import random
from decimal import Decimal as D

import networkx as nx
import pyarrow as pa
import pytest

from include.packs.factorypack.genealogy import COLUMNS, Genealogy
from tests.trace.links import assembled, linked, moved


def reached(links, start: str, direction: str = "forward") -> dict[str, tuple[D | None, bool]]:
    with Genealogy(linked(links)) as genealogy:
        return {one.item_id: (one.quantity, one.is_exact) for one in genealogy.follow(start, direction)}


def test_a_line_of_splits_and_assemblies_is_exact():
    """100 of R: 60 to S1, 38 to S2, 2 lost. U1 takes 2 of S1; U2 1 of S1 and 3 of S2; V the unit U1 and 1 of S2."""
    links = [
        moved("SP", "R", "S1", 100, 60, 60),
        moved("SP", "R", "S2", 100, 38, 38),
        assembled("S1", "U1", 2),
        assembled("S1", "U2", 1),
        assembled("S2", "U2", 3),
        assembled("U1", "V", 1, input_kind="unit"),
        assembled("S2", "V", 1),
        assembled("OTHER", "U1", 7),
    ]

    assert reached(links, "R") == {
        "S1": (D(60), True), "S2": (D(38), True), "U1": (D(2), True), "U2": (D(4), True), "V": (D(3), True),
    }  # fmt: skip
    assert reached(links, "S2") == {"U2": (D(3), True), "V": (D(1), True)}
    assert reached(links, "V", "backward") == {
        "U1": (D(1), True), "S2": (D(1), True), "S1": (D(2), True), "OTHER": (D(7), True), "R": (D(3), True),
    }  # fmt: skip


def test_behind_a_blend_with_others_only_the_share_is_known_and_says_so():
    """M is 30 of A and 70 of B less 1: U, which takes 2 of M, holds 2 x 30 / 100 = 0.6 of A if M is mixed evenly."""
    links = [
        moved("BL", "A", "M", 30, 99, 30, kind="blended"),
        moved("BL", "B", "M", 70, 99, 70, kind="blended"),
        assembled("M", "U", 2),
    ]

    assert reached(links, "A") == {"M": (D("29.7"), False), "U": (D("0.6"), False)}
    assert reached(links, "U", "backward") == {"M": (D(2), True), "A": (D("0.6"), False), "B": (D("1.4"), False)}


def test_a_merge_of_what_is_all_of_the_start_is_exact():
    links = [
        moved("SP", "R", "A", 50, 20, 20),
        moved("SP", "R", "B", 50, 30, 30),
        moved("ME", "A", "M", 20, 50, 20, kind="merged"),
        moved("ME", "B", "M", 30, 50, 30, kind="merged"),
        assembled("M", "U", 4),
    ]

    assert reached(links, "R")["U"] == (D(4), True)


def test_several_inputs_and_outputs_are_reached_by_the_share_of_the_mixture():
    """10 of A and 30 of B become 16 of C and 24 of D: each is a quarter A. Nobody knows more, and it is said."""
    links = [
        moved("BL", i, o, q, p, None, kind="blended")
        for i, q in (("A", 10), ("B", 30))
        for o, p in (("C", 16), ("D", 24))
    ]

    assert reached(links, "A") == {"C": (D(4), False), "D": (D(6), False)}


def test_a_rework_that_gives_back_its_lot_changes_nothing():
    links = [moved("RW", "S", "S", 3, 3, 3, kind="reworked"), assembled("S", "U", 2)]

    assert reached(links, "S") == {"U": (D(2), True)}
    assert reached(links, "U", "backward") == {"S": (D(2), True)}


def test_a_unit_that_got_a_new_number_in_rework_holds_what_it_held():
    links = [
        assembled("S", "U", 2),
        moved("RW", "U", "U2", 1, 1, 1, kind="reworked", input_kind="unit", output_kind="unit"),
    ]

    assert reached(links, "S") == {"U": (D(2), True), "U2": (D(2), True)}


@pytest.mark.parametrize("start", ["A", "B", "C"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_cycle_is_gone_around_once_and_no_quantity_is_made_up(start, direction):
    links = [
        assembled("A", "B", 1),
        assembled("B", "C", 1),
        assembled("C", "A", 1),
        assembled("L", "A", 5),
        assembled("C", "V", 1),
    ]
    links = [{**link, "input_kind": "unit"} for link in links]

    found = reached(links, start, direction)

    assert set(found) == ({"A", "B", "C", "V"} if direction == "forward" else {"A", "B", "C", "L"}) - {start}
    assert reached(links, "L") == {name: (None, False) for name in "ABCV"}


def test_what_leads_out_of_a_cycle_is_reached_though_its_quantity_cannot_be_told():
    links = [assembled("A", "B", 1), assembled("B", "A", 1), assembled("B", "U", 2), assembled("L", "U", 3)]

    assert reached(links, "A") == {"B": (None, False), "U": (None, False)}
    assert reached(links, "L") == {"U": (D(3), True)}


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_random_graphs_are_followed_as_a_graph_library_does(seed, direction):
    """Half of the graphs have cycles. Distances are the shortest ones."""
    rng = random.Random(seed)
    pairs = {(rng.randrange(60), rng.randrange(60)) for _ in range(rng.choice((50, 110)))}
    if seed % 2:
        pairs = {(a, b) for a, b in pairs if a < b}
    graph = nx.DiGraph((f"I{a}", f"I{b}") for a, b in pairs)
    links = linked([assembled(a, b, 1) for a, b in graph.edges])
    with Genealogy(links) as genealogy:
        for start in sorted(graph.nodes)[:10]:
            expected = nx.single_source_shortest_path_length(
                graph if direction == "forward" else graph.reverse(copy=False), start
            )
            assert genealogy.depths(start, direction) == dict(expected)
            assert {one.item_id for one in genealogy.follow(start, direction)} == set(expected) - {start}


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(4))
def test_what_a_unit_holds_by_going_forward_is_what_went_into_it_by_going_backward(seed):
    """On a random tree of lots with assemblies both ways are exact and meet."""
    rng = random.Random(seed)
    lots = ["L0"]
    links = []
    for n in range(1, 12):
        links.append(moved(f"S{n}", rng.choice(lots), f"L{n}", 1000, rng.randint(1, 90), 5))
        lots.append(f"L{n}")
    for n in range(30):
        for lot in rng.sample(lots, 2):
            links.append(assembled(lot, f"U{n}", rng.randint(1, 5)))
    forward = reached(links, "L0")

    for unit in (name for name in forward if name.startswith("U")):
        assert forward[unit] == reached(links, unit, "backward")["L0"] and forward[unit][1]


def test_a_record_that_stands_in_two_shifts_counts_once():
    assert reached([assembled("S", "U", 2), assembled("S", "U", 2)], "S") == {"U": (D(2), True)}


def test_names_that_are_nearly_known_are_told():
    with Genealogy(linked([assembled("SEAL-260130-07", "U1", 1), assembled("ROT-260130-07", "U2", 1)])) as genealogy:
        assert not genealogy.knows("SEAL-260130-7")
        assert genealogy.nearest("seal-260130-7", 1) == ["SEAL-260130-07"]


def test_the_columns_asked_for_are_those_of_the_published_mart():
    from include.catalog import marts

    mart = next(m for m in marts("factorypack") if m.name == "fct_genealogy_link")
    assert set(COLUMNS) <= set(mart.columns)
    assert linked([]).num_rows == 0 and isinstance(linked([]), pa.Table)
