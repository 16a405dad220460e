"""Which suites a pack has, what rows each one judges, and by which key it names a failing row.

A suite is `expectations/<pack>/<table>.py`: its file name is the table that it gates, its `SUITE` the
expectations, each with a severity and a reason in `notes`. Those of `expectations/shared/` gate every pack that has
none of the same name. Two more names are optional:

    ROWS  SQL of the rows to judge; without it, the close's window of the table itself (include/gate/relations.py
          lists the tables that it may read and the functions that both engines have)
    KEY   columns that identify such a row; without it, the key of the mart or of the declared source table
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from include import catalog
from include.errors import DeclarationError
from include.settings import ROOT

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

Layer = Literal["landing", "stage", "mart"]
LAYERS: tuple[Layer, ...] = ("landing", "stage", "mart")
EXPECTATIONS = ROOT / "expectations"


@dataclass(frozen=True)
class Suite:
    """One table's expectations, ready to run."""

    pack: str
    table: str
    layer: Layer
    expectations: "ExpectationSuite"
    rows: str | None
    key: tuple[str, ...]
    description: str


def layer_of(table: str) -> Layer:
    """The layer that a table belongs to, from its name: raw tables and `landing…` are judged as landed."""
    if table.startswith(("fct_", "dim_")):
        return "mart"
    if table.startswith(("stg_", "int_")):
        return "stage"
    return "landing"


def gated_tables(pack: str, layer: Layer | None = None) -> tuple[str, ...]:
    """The tables of a pack that have a suite, found by listing; nothing is imported."""
    return tuple(name for name in sorted(_files(pack)) if layer in (None, layer_of(name)))


def find_suites(pack: str, layer: Layer | None = None) -> tuple[Suite, ...]:
    """The suites of a pack, loaded. Imports Great Expectations; call it in a worker only."""
    return tuple(_load(pack, table) for table in gated_tables(pack, layer))


def _files(pack: str) -> dict[str, Path]:
    """Table -> the file of its suite."""
    folders = (EXPECTATIONS / "shared", EXPECTATIONS / pack)
    return {p.stem: p for folder in folders for p in folder.glob("*.py") if not p.stem.startswith("_")}


def _load(pack: str, table: str) -> Suite:
    path = _files(pack)[table]
    module = _module(pack, path)
    suite = getattr(module, "SUITE", None)
    if suite is None or suite.name != table:
        raise DeclarationError(
            f"expectations/{path.parent.name}/{path.name} must define SUITE, an ExpectationSuite named {table!r}"
        )
    for expectation in suite.expectations:
        if not expectation.notes:
            name = type(expectation).__name__
            raise DeclarationError(
                f"expectations/{path.parent.name}/{path.name}: {name} gives no reason. "
                "Say in notes= why its bound is what it is"
            )
    return Suite(
        pack=pack,
        table=table,
        layer=layer_of(table),
        expectations=suite,
        rows=getattr(module, "ROWS", None),
        key=tuple(getattr(module, "KEY", ()) or _declared_key(pack, table)),
        description=(module.__doc__ or "").strip(),
    )


def _module(pack: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"expectations.{pack}.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _declared_key(pack: str, table: str) -> tuple[str, ...]:
    for mart in catalog.marts(pack):
        if mart.name == table:
            return mart.key
    for source in catalog.sources():
        for declared in source.tables:
            if declared.identifier == table:
                return declared.key
    for feed in catalog.feeds():
        if feed.identifier == table:
            return feed.key
    return ()
