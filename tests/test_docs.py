"""The documentation names only commands and files that exist."""

import re
from pathlib import Path

import pytest

from include.settings import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_make_command_of_a_page_exists(page: Path):
    named = set(re.findall(r"(?:^\s{4}|`)make ([a-z][a-z-]*)", page.read_text(), re.M))

    assert named - TARGETS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#:\s]+)\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_starts_exists(page: Path):
    modules = set(re.findall(r"python -m ((?:include|stack|demo)[a-z_.]*[a-z_])", page.read_text()))
    missing = [m for m in modules if not any((ROOT / m.replace(".", "/")).with_suffix(s).exists() for s in (".py", ""))]

    assert missing == []


def test_the_makefile_describes_each_command():
    described = set(re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.M))

    assert TARGETS - described <= {"env"}
