"""From a server's address space to rows that the dictionary takes."""

import csv
import io

import pytest
from asyncua import ua

from include.errors import DeclarationError, HnaiError, OtError
from include.ot import browse as browsing
from include.ot import tags as dictionary
from include.ot.browse import asked_source, browse, parser, slug
from include.ot.opcua_session import strongest
from include.ot.opcua_units import unit_name
from include.ot.sources import Source
from include.ot.trust import Pki
from tests.ot.opcua_server import URI, certificate, field_server
from tests.ot.opcua_trial import live, source
from tests.ot.test_opcua_security import SECURE

pytestmark = pytest.mark.platform
T = ua.VariantType


def units(text: str, number: int = -1) -> ua.EUInformation:
    return ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", number, ua.LocalizedText(text))


async def plant(field) -> None:
    """Two wells with instruments; a loop of references, an array, a structure, a type of the server's own."""
    objects, idx = field.server.nodes.objects, field.idx
    pad = await objects.add_folder(ua.NodeId("Pad 1", idx), "Pad 1")
    for well in ("MES-01", "MES-02"):
        folder = await pad.add_object(ua.NodeId(well, idx), well)
        pressure = await field.add(f"{well}.THP", 1.0, eu_range=(0, 5000), units=units("psi"), parent=folder)
        await field.add(f"{well}.Running", True, T.Boolean, parent=folder)
        await folder.add_reference(pad, ua.ObjectIds.HasComponent)  # a loop
        await folder.add_reference(pressure, ua.ObjectIds.Organizes)  # the same node twice
    await field.add("Profile", [1.0, 2.0], T.Double, parent=pad)
    await field.add("Point", ua.Range(0, 1), T.ExtensionObject, parent=pad)
    own = await field.server.nodes.enum_data_type.add_data_type(ua.NodeId("LineState", idx), "LineState")
    await field.add("State", 2, T.Int32, parent=pad, data_type=own.nodeid)
    await field.add("Count", 2, T.UInt32, parent=pad)
    secret = await field.add("Recipe", "x", T.String, parent=pad)
    await secret.unset_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.CurrentRead)


async def rows(of: Source, folder, **how) -> tuple[list[dict], object]:
    out = io.StringIO()
    count = await browse(of, out, store=Pki(folder), **how)
    return list(csv.DictReader(io.StringIO(out.getvalue()))), count


@live
async def test_variables_become_rows_with_address_type_unit_and_range(tmp_path):
    async with field_server(setup=plant) as field:
        found, count = await rows(source(field), tmp_path)
    by_tag = {row["tag_id"]: row for row in found}

    assert by_tag["MES-01.mes-01_thp"] == dict.fromkeys(dictionary.COLUMNS, "") | {
        "tag_id": "MES-01.mes-01_thp",
        "path": "pad_1/mes-01/mes-01_thp",
        "asset_id": "MES-01",
        "measurement": "mes-01_thp",
        "source": "field",
        "address": f"nsu={URI};s=MES-01.THP",
        "data_type": "double",
        "unit": "psi",
        "range_low": "0",
        "range_high": "5000",
        "description": "MES-01.THP",
    }
    types = {row["address"].partition(";s=")[2]: (row["data_type"], row["unit"]) for row in found}
    assert types == {
        "MES-01.THP": ("double", "psi"),
        "MES-02.THP": ("double", "psi"),
        "MES-01.Running": ("boolean", "1"),
        "MES-02.Running": ("boolean", "1"),
        "State": ("long", ""),
        "Count": ("long", ""),
    }
    assert (count.variables, count.arrays, count.structures, count.unreadable) == (6, 1, 1, 1)
    assert len(by_tag) == len(found)


@live
async def test_a_server_that_gives_references_in_pieces_is_walked_whole(tmp_path):
    async with field_server(setup=plant) as field:
        whole, _ = await rows(source(field), tmp_path)
        field.behaviour.per_browse = 1
        field.behaviour.most_operations = 2
        pieces, _ = await rows(source(field), tmp_path)

    assert sorted(pieces, key=str) == sorted(whole, key=str)


@live
async def test_the_walk_can_start_lower_be_narrowed_and_be_cut_in_depth(tmp_path):
    async with field_server(setup=plant) as field:
        below, _ = await rows(source(field), tmp_path, root=field.address("MES-02"))
        narrowed, _ = await rows(source(field), tmp_path, match="*THP", above=["Hnai", "North"])
        shallow, _ = await rows(source(field), tmp_path, depth=2)
        with pytest.raises(OtError, match="--root"):
            await rows(source(field), tmp_path, root="ns=2;s=x")
        own, _ = await rows(source(field), tmp_path, everything=True)

    assert {r["address"] for r in below if "MES-02" in r["address"]} and "MES-01.THP" in str(below)  # over the loop
    assert [r["address"].endswith("THP") for r in narrowed] == [True, True]
    assert narrowed[0]["path"] == "hnai/north/pad_1/mes-01/mes-01_thp"
    assert {r["address"].partition(";s=")[2] for r in shallow} == {"State", "Count"}
    assert {"seconds_till_shutdown"} <= {r["measurement"] for r in own}


@live
async def test_what_is_written_is_what_the_dictionary_reads_once_units_are_filled_in(tmp_path):
    async with field_server(setup=plant) as field:
        path = tmp_path / "tags.csv"
        with path.open("w") as out:
            said: list[str] = []
            await browse(source(field), out, say=said.append, store=Pki(tmp_path))
    with pytest.raises(DeclarationError, match="unit is empty"):
        list(dictionary.read(path))
    lines = list(csv.DictReader(path.open()))
    with path.open("w") as out:
        writer = csv.DictWriter(out, dictionary.COLUMNS)
        writer.writeheader()
        writer.writerows(line | {"unit": line["unit"] or "1"} for line in lines)
    found = {tag.address: tag for tag in dictionary.read(path)}

    assert "2 rows have no unit" in said[-1]
    assert found[f"nsu={URI};s=MES-01.THP"].range_high == 5000
    assert len(found) == 6


@live
async def test_by_hand_the_strongest_security_is_taken_that_the_server_offers(tmp_path):
    async with field_server(certificate=certificate(), policies=SECURE) as field:
        chosen = await strongest(Source("new", "opcua", field.url, {"security": "best"}))
    async with field_server() as field:
        open_one = await strongest(Source("new", "opcua", field.url, {"security": "best"}))

    assert (chosen.options["security"], chosen.options["mode"]) == ("Aes256Sha256RsaPss", "SignAndEncrypt")
    assert open_one.options["security"] == "None"


def test_an_address_or_a_declared_name_says_how_to_connect():
    declared = asked_source(parser().parse_args(["field_scada"]))
    by_url = asked_source(parser().parse_args([declared.url]))
    unknown = asked_source(parser().parse_args(["opc.tcp://new:4840", "--user", "eng", "--source", "new_plc"]))

    assert declared.options["security"] == "Basic256Sha256" and by_url == declared
    assert (unknown.name, unknown.options) == ("new_plc", {"security": "best", "user": "eng"})
    with pytest.raises(OtError, match="of kind modbus"):
        asked_source(parser().parse_args(["field_rtu"]))
    with pytest.raises(DeclarationError, match="known: .*field_scada"):
        asked_source(parser().parse_args(["field_skada"]))


def test_the_command_says_what_is_wrong_and_ends_with_1(capsys):
    assert browsing.main(["opc.tcp://127.0.0.1:9"]) == 1
    assert "nothing listens" in capsys.readouterr().err


@live
async def test_a_browse_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "tags.csv"
    async with field_server() as field:
        asked = parser().parse_args([field.url, "--csv", str(path), "--root", "nsu=urn:nowhere;s=x"])
        for before in (None, "tag_id\nof an earlier browse\n"):
            if before:
                path.write_text(before)

            with pytest.raises(HnaiError):
                await browsing._main(asked)

            assert [p.name for p in tmp_path.iterdir()] == (["tags.csv"] if before else [])
            assert before is None or path.read_text() == before


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        ("psi", -1, "psi"),
        ("°C", 4408652, "degc"),
        ("", 4408652, "degc"),
        ("%", -1, "pct"),
        ("bbl/d", -1, "bbl_per_d"),
        ("m³/h", -1, "m3_per_h"),
        ("1/min", -1, "1_per_min"),
        ("kPa", -1, "kpa"),
        ("", -1, ""),
    ],
)
def test_units_are_named_as_the_dictionary_names_them(text, number, name):
    assert unit_name(units(text, number)) == name


def test_names_become_words_of_a_path():
    assert [slug(n) for n in ("Pad 1", "TubingHeadPressure", "MES-01.THP", "  ", "Öl%")] == [
        "pad_1",
        "tubing_head_pressure",
        "mes-01_thp",
        "node",
        "l",
    ]
