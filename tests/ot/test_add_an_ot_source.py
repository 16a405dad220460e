"""The page on adding an OT source: what it shows can be declared as it stands."""

import re
from pathlib import Path

import pytest
import yaml

from include.ot import tags
from include.ot.modbus_map import map_of
from include.ot.mtconnect import MtConnectClient
from include.ot.observations import split
from include.ot.opcua_session import options_of
from include.ot.shdr_files import ShdrFilesClient
from include.ot.sources import Source
from include.settings import ROOT
from tests.ot.listening import Listener

PAGE = (ROOT / "docs" / "how-to" / "add-an-ot-source.md").read_text()
SOURCES = {
    Path(name).stem: text
    for name, text in re.findall(r"```yaml\n# (include/ot/sources/\w+\.yaml)\n(.*?)```", PAGE, re.S)
}
CHECKS = {
    "opcua": options_of,
    "modbus": map_of,
    "mtconnect": lambda source: MtConnectClient(source, Listener()),
    "shdr_files": lambda source: ShdrFilesClient(source, Listener()),
}


def source_of(name: str) -> Source:
    entry = yaml.safe_load(SOURCES[name])
    return Source(name, entry.pop("kind"), entry.pop("url"), entry)


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_of_the_page_can_be_used(name):
    source = source_of(name)

    CHECKS[source.kind](source)


def test_the_page_shows_every_kind_that_it_is_about():
    assert {source_of(name).kind for name in SOURCES} == set(CHECKS)


def test_the_tags_of_the_page_can_be_used_by_its_sources(tmp_path):
    seed = tmp_path / "page_tags.csv"
    seed.write_text(re.search(r"```csv\n(.*?)```", PAGE, re.S)[1])
    registers = map_of(source_of("battery_1")).registers

    for tag in tags.read(seed):
        if tag.source == "battery_1":
            assert tag.address in registers
        else:
            assert split(tag.address)
