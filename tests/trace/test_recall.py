"""A recall by what is published: as it is, as readers saw it before, and in words that somebody can act on."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from include.packs.factorypack import epcis
from include.packs.factorypack import recall as recalls
from include.packs.factorypack.recall import (
    SHIPMENT_COLUMNS,
    UNIT_COLUMNS,
    as_json,
    as_text,
    main,
    recall,
    with_receipts,
)
from tests.trace.links import assembled, linked, moved

AT = datetime(2026, 1, 30, 15, tzinfo=UTC)
SHIFT = "2026-01-30.1"
CALENDAR = "riverside"
LINKS = [
    moved("SP", "R", "S1", 100, 60, 60),
    moved("SP", "R", "S2", 100, 40, 40),
    assembled("S1", "U1", 2),
    assembled("S1", "U2", 1),
    assembled("S2", "U3", 1),
]


def units(*serials: str) -> pa.Table:
    types = {name: pa.string() for name in UNIT_COLUMNS} | {"made_at": pa.timestamp("us", "UTC")}
    rows = [{"serial": s, "order_id": "O1", "product_id": "P", "serial_status": "good", "made_at": AT} for s in serials]
    return pa.Table.from_pylist(rows, pa.schema(types))


def shipments(*sent: tuple[str, str, datetime]) -> pa.Table:
    types = {name: pa.string() for name in SHIPMENT_COLUMNS} | {"shipped_at": pa.timestamp("us", "UTC")}
    rows = [{"serial": s, "customer": c, "sales_order": f"SO of {c}", "shipped_at": at} for s, c, at in sent]
    return pa.Table.from_pylist(rows, pa.schema(types))


def test_units_are_found_with_their_orders_and_the_customer_who_got_them_last():
    sent = shipments(("U1", "First", AT), ("U1", "Second", AT.replace(day=31)), ("U3", "Other", AT))

    found = recall("S1", linked(LINKS), units("U1", "U3"), sent, "forward")

    assert [(u.serial, u.quantity, u.order_id, u.customer, u.serial_status) for u in found.units] == [
        ("U1", Decimal(2), "O1", "Second", "good"),
        ("U2", Decimal(1), None, None, None),
    ]
    assert found.customers == {"Second": 1} and found.lots == []


def test_the_answer_can_be_read_and_taken_further(tmp_path):
    links = [*LINKS, assembled("U1", "U2", 1, input_kind="unit", is_on_cycle=True)]
    found = recall("R", linked(links), units("U1"), shipments(("U1", "First", AT)), "forward")

    text = as_text(found, 0.1)
    assert "What holds something of R: 3 units, 2 lots" in text and "By customer: First 1" in text
    assert "Contradicting links on the way, see fct_trace_exception: U1>U2" in text
    assert json.loads(as_json(found))["units"][0]["quantity"] == "2"
    assert recalls.write_csv(found, tmp_path / "units.csv") == 3
    with (tmp_path / "units.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["serial"], r["quantity"], r["is_exact"], r["via"], r["customer"]) for r in rows] == [
        ("U1", "2", "True", "S1", "First"), ("U2", "3", "True", "S1 U1", ""), ("U3", "1", "True", "S2", ""),
    ]  # fmt: skip


def test_backward_names_what_went_into_a_unit():
    found = recall("U2", linked(LINKS), units(), shipments(), "backward")

    assert [(lot.item_id, lot.quantity) for lot in found.lots] == [("S1", Decimal(1)), ("R", Decimal(1))]
    assert "What went into U2" in as_text(found, 0)


def test_a_lot_that_was_received_and_filled_up_holds_its_share_of_what_was_added():
    """T was received with 30 and got 10 of S: a quarter of it is S. R, which was received alone, changes nothing."""
    links = linked([moved("ME", "S", "T", 10, 10, 10, kind="merged"), assembled("T", "U", 2)])
    lots = pa.Table.from_pylist(
        [
            {"lot_id": "T", "unit": "piece", "received_quantity": Decimal(30)},
            {"lot_id": "R", "unit": "piece", "received_quantity": Decimal(5)},
        ]
    )

    found = recall("S", with_receipts(links, lots), units(), shipments(), "forward")

    assert [(u.serial, u.quantity, u.is_exact) for u in found.units] == [("U", Decimal("0.5"), False)]
    assert with_receipts(links, lots).num_rows == links.num_rows + 1


# By the lakehouse ---------------------------------------------------------------------------------------------------


def published(run_id: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> datetime:
    """Publish a version of the shift that holds these rows and nothing else; the instant at which readers see it."""
    from include.catalog import marts
    from include.publish.freeze import freeze
    from include.publish.publish import publish
    from include.publish.workspace import mart_schema

    close = freeze("factorypack", CALENDAR, SHIFT, SHIFT, run_id, "test", wait=False)
    close.workspace.parent.mkdir(parents=True, exist_ok=True)
    common = {"calendar": CALENDAR, "shift_id": SHIFT, "production_date": date(2026, 1, 30)}
    with duckdb.connect(str(close.workspace)) as con:
        con.execute("set TimeZone = 'UTC'")
        for mart in marts("factorypack"):
            own = [common | dict(row) for row in rows.get(mart.name, ())]
            con.register("own", pa.Table.from_pylist(own, mart_schema(mart)))
            con.execute(f"create table {mart.name} as select * from own")
    publish(close)
    return datetime.now(UTC)


def version(links: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {
        "fct_genealogy_link": [{**link, "linked_at": AT} for link in links],
        "fct_unit": units("U1", "U2", "U3").to_pylist(),
        "fct_unit_shipment": [
            {**row, "shipment_id": row["serial"]} for row in shipments(("U1", "First", AT)).to_pylist()
        ],
        "fct_station_visit": [{"scan_id": "1", "serial": "U1", "station_id": "T", "left_at": AT, "is_revisit": False}],
    }


@pytest.fixture(scope="module")
def twice(lake_platform) -> datetime:
    """The shift is published, and again with U2 made of S2 instead of S1. Gives an instant between the two."""
    between = published("trace-1", version(LINKS))
    mended = [link for link in LINKS if link["link_id"] != "S1>U2"] + [assembled("S2", "U2", 1)]
    published("trace-2", version(mended))
    return between


@pytest.mark.platform
def test_a_recall_is_by_what_is_published_or_by_what_readers_saw_then(twice, tmp_path, capsys):
    def serials(*arguments: str) -> list[str]:
        assert main([*arguments, "--json"]) == 0
        return [unit["serial"] for unit in json.loads(capsys.readouterr().out)["units"]]

    assert serials("S1") == ["U1"]
    assert serials("S2") == ["U2", "U3"]
    assert serials("S1", "--as-known-on", twice.isoformat()) == ["U1", "U2"]
    assert main(["R", "--csv", str(tmp_path / "u.csv")]) == 0 and "3 units" in capsys.readouterr().out
    assert len((tmp_path / "u.csv").read_text().splitlines()) == 4


@pytest.mark.platform
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["S-1"], "No published link knows 'S-1'. Written most alike: S1"),
        (["S1", "--as-known-on", "2020-01-01"], "Nothing of factorypack was published by 2020-01-02T00:00:00-06:00"),
        (["S1", "--as-known-on", "yesterday"], "'yesterday' is no day and no time"),
        (["S1", "--as-known-on", "2026-01-01", "--calendar", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_answered_says_why(twice, capsys, arguments, said):
    assert main(arguments) == 1 and said in capsys.readouterr().err


@pytest.mark.platform
def test_the_export_takes_back_what_a_later_version_corrected(twice, tmp_path):
    out = tmp_path / "events.jsonld"

    assert epcis.main(["--shift", SHIFT, "--corrected-since", twice.isoformat(), "--out", str(out)]) == 0

    told = json.loads(out.read_text())["epcisBody"]["eventList"]
    (wrong,) = [event for event in told if "errorDeclaration" in event]
    right = next(e for e in told if e.get("outputEPCList") == wrong["outputEPCList"] and "errorDeclaration" not in e)
    assert wrong["outputEPCList"] == ["urn:x-plant:riverside:unit:U2"]
    assert wrong["errorDeclaration"]["correctiveEventIDs"] == [right["eventID"]] and len(told) == 7
    again = tmp_path / "again.jsonld"
    epcis.main(["--shift", SHIFT, "--corrected-since", twice.isoformat(), "--out", str(again)])
    assert again.read_text() == out.read_text()
    assert epcis.main(["--item", "S2", "--out", str(again)]) == 0
    kinds = [event["type"] for event in json.loads(again.read_text())["epcisBody"]["eventList"]]
    assert kinds == ["TransformationEvent"] * 3  # the split, U2 and U3
    assert epcis.main(["--shift", "2026-01-29.1"]) == 1
