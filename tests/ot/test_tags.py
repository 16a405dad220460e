"""The tag dictionary and the declared sources: what is read, and what is refused with file and line."""

from pathlib import Path

import pytest

from include.errors import DeclarationError
from include.ot import gaps, sources, tags
from include.ot.tags import COLUMNS, Tag
from include.settings import settings

ROW = {
    "tag_id": "MES-001.tubing_head_pressure",
    "path": "hnai/mesquite/pad_01/mes-001/tubing_head_pressure",
    "asset_id": "MES-001",
    "measurement": "tubing_head_pressure",
    "source": "field_scada",
    "address": "nsu=urn:hnai:demo:scada;s=MES-001.THP",
    "data_type": "double",
    "unit": "psi",
    "range_low": "0",
    "range_high": "5000",
    "deadband": "0.5",
    "deadband_type": "percent",
    "sampling_ms": "1000",
    "owner": "field-automation",
    "description": "Pressure at the tubing head, upstream of the choke.",
}


@pytest.fixture
def seeds(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tags, "SEEDS", tmp_path)
    return tmp_path


def write(seeds: Path, *rows: dict, pack: str = "energypack", columns=COLUMNS) -> Path:
    path = seeds / pack / f"{pack}_tags.csv"
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(columns), *(",".join(f'"{row[column]}"' for column in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_row_is_a_tag_with_typed_figures(seeds):
    write(seeds, ROW)

    (tag,) = tags.tags()

    assert tag == Tag(**{**ROW, "range_low": 0.0, "range_high": 5000.0, "deadband": 0.5, "sampling_ms": 1000})


def test_empty_figures_are_none(seeds):
    write(seeds, {**ROW, "range_low": "", "range_high": "", "deadband": "", "sampling_ms": "", "address": ""})

    (tag,) = tags.tags()

    assert (tag.range_low, tag.range_high, tag.deadband, tag.deadband_type, tag.sampling_ms) == (None,) * 5


def test_every_packs_tags_are_found_and_may_be_asked_by_source(seeds):
    write(seeds, ROW, {**ROW, "tag_id": "MES-001.oil_rate", "source": "field_rtu"})
    write(seeds, {**ROW, "tag_id": "PACK-01.state", "source": "packaging_line"}, pack="factorypack")

    assert [tag.tag_id for tag in tags.tags()] == ["MES-001.tubing_head_pressure", "MES-001.oil_rate", "PACK-01.state"]
    assert [tag.tag_id for tag in tags.tags("field_rtu")] == ["MES-001.oil_rate"]
    assert tags.tags("nobody") == ()


def test_a_change_shows_in_the_fingerprint_and_in_the_tags(seeds):
    write(seeds, ROW)
    before, _ = tags.fingerprint(), tags.tags()

    write(seeds, {**ROW, "unit": "kpa"})

    assert tags.fingerprint() != before
    assert tags.tags()[0].unit == "kpa"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tag_id": ""}, "tag_id is empty"),
        ({"unit": " "}, "unit is empty"),
        ({"path": "alone"}, "path 'alone'"),
        ({"data_type": "float"}, "data_type 'float'"),
        ({"range_low": "low"}, "range_low 'low'"),
        ({"range_low": "5000"}, "range_low"),
        ({"range_low": "nan"}, "range_low"),
        ({"deadband": "-1"}, "deadband"),
        ({"deadband_type": "relative"}, "deadband_type 'relative'"),
        ({"deadband_type": ""}, "deadband_type"),
        ({"range_high": ""}, "percent deadband needs range_low and range_high"),
        ({"sampling_ms": "0"}, "sampling_ms"),
        ({"sampling_ms": "0.5"}, "sampling_ms"),
        ({"sampling_ms": "inf"}, "sampling_ms"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_file_and_line(seeds, changes, named):
    path = write(seeds, ROW, {**ROW, "tag_id": "MES-002.tubing_head_pressure", **changes})

    with pytest.raises(DeclarationError, match=named) as refused:
        tags.tags()

    assert f"{path}, line 3" in str(refused.value)


def test_a_tag_declared_twice_is_refused(seeds):
    write(seeds, ROW)
    write(seeds, ROW, pack="factorypack")

    with pytest.raises(DeclarationError, match="declared twice"):
        tags.tags()


def test_a_missing_column_is_named(seeds):
    write(seeds, ROW, columns=[column for column in COLUMNS if column != "unit"])

    with pytest.raises(DeclarationError, match="'unit'"):
        tags.tags()


def test_a_file_that_is_no_text_is_refused(seeds):
    write(seeds, ROW).write_bytes(b"tag_id,\xff\xfe")

    with pytest.raises(DeclarationError, match="UTF-8"):
        tags.tags()


def test_the_declared_dictionary_and_its_sources_can_be_used():
    declared = {source.name for source in sources.sources()}

    assert {tag.source for tag in tags.tags()} <= declared
    for source in sources.sources():
        assert source.has_bridge == (source.kind != "payload") == source.can_be_read
        assert "{" not in source.url


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    return tmp_path


def test_a_source_knows_the_shifted_ports_and_a_setting_overrules_its_address(folder, monkeypatch):
    (folder / "plant.yaml").write_text("kind: opcua\nurl: opc.tcp://{host}:{opcua_simulator}/x\nuser: mirror\n")
    found = sources.source("plant")
    assert found.url == f"opc.tcp://127.0.0.1:{settings.port('opcua_simulator')}/x"
    assert found.options == {"user": "mirror"}

    ot = settings.ot.model_copy(update={"urls": {"plant": "opc.tcp://10.0.0.1:4840"}})
    monkeypatch.setattr(sources, "settings", settings.model_copy(update={"ot": ot}))
    assert sources.source("plant").url == "opc.tcp://10.0.0.1:4840"


def test_a_source_that_a_bridge_elsewhere_reads_has_none_here_and_is_asked_for_no_history(folder):
    (folder / "plant.yaml").write_text("kind: opcua\nurl: opc.tcp://10.0.0.1:4840\nbridge: elsewhere\nuser: mirror\n")

    found = sources.source("plant")

    assert found.can_be_read and not found.has_bridge and found.options == {"user": "mirror"}
    assert gaps.why_not("plant") == "plant is read by a bridge elsewhere and cannot be asked from here"
    (folder / "plant.yaml").write_text("kind: opcua\nurl: opc.tcp://10.0.0.1:4840\nbridge: here\n")
    assert sources.source("plant").has_bridge and gaps.why_not("plant") is None


@pytest.mark.parametrize(
    "text",
    [
        "kind: telnet",
        "url: x",
        "[]",
        "kind: opcua\nurl: 'opc.tcp://{nowhere}'",
        "kind: opcua\nurl: '{'",
        "a: [",
        "kind: opcua\nbridge: dmz",
    ],
)
def test_a_source_that_cannot_be_used_is_named(folder, text):
    (folder / "plant.yaml").write_text(text)

    with pytest.raises(DeclarationError, match="plant.yaml"):
        sources.source("plant")


def test_an_unknown_source_is_told_the_known_ones(folder):
    (folder / "plant.yaml").write_text("kind: payload")

    with pytest.raises(DeclarationError, match="known: plant"):
        sources.source("plnt")
