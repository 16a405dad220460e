"""dags → plugins → include → libraries, and packs that do not know each other: read from the code itself."""

import ast
from functools import cache
from pathlib import Path

import pytest

from include import catalog
from include.settings import ROOT

ROOMS = {"dags", "plugins", "include", "stack", "demo"}
MAY_USE = {
    "dags": {"plugins", "include"},
    "plugins": {"plugins", "include"},
    "include": {"include"},
    "stack": {"stack", "include", "demo"},
    "demo": {"demo", "include", "stack"},
    "expectations": {"expectations", "include"},
}
HEAVY = {"great_expectations", "duckdb", "pyarrow", "pandas", "pyiceberg", "dbt", "requests", "psycopg"}


@cache
def imports(path: Path, *, at_parse_only: bool = False) -> set[str]:
    """The modules that a file imports; at parse only those outside functions."""
    tree = ast.parse(path.read_text(), filename=str(path))
    hidden = set()
    if at_parse_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden.update(id(child) for child in ast.walk(node))
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def files(room: str) -> list[Path]:
    return sorted(p for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts)


@pytest.mark.parametrize("room", sorted(MAY_USE))
def test_a_room_imports_only_the_floors_below(room):
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(room)
        for module in imports(path)
        if module.split(".")[0] in ROOMS | {"tests"} and module.split(".")[0] not in MAY_USE[room]
    }

    assert not wrong


def test_how_things_are_done_does_not_know_airflow():
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("include")
        for module in imports(path)
        if module.split(".")[0] == "airflow"
    }

    assert not wrong


def test_no_dag_file_imports_a_heavy_library_itself():
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("dags") + files("plugins")
        for module in imports(path, at_parse_only=True)
        if module.split(".")[0] in HEAVY
    }

    assert not wrong


def test_only_settings_reads_the_environment():
    def reads(path: Path) -> bool:
        text = path.read_text()
        return "os.environ[" in text or "os.environ.get" in text or "os.getenv" in text

    found = [path for room in ("dags", "plugins", "include") for path in files(room) if reads(path)]

    assert [str(path.relative_to(ROOT)) for path in found] == ["include/settings.py"]


def test_python_of_one_pack_does_not_use_another():
    for pack in catalog.packs():
        others = set(catalog.packs()) - {pack}
        for folder in (ROOT / "include" / "packs" / pack, ROOT / "expectations" / pack):
            for path in folder.rglob("*.py"):
                parts = {part for module in imports(path) for part in module.split(".")}
                assert not parts & others, f"{path.relative_to(ROOT)} uses {parts & others}"


def pack_of(node: dict) -> str:
    """The folder below models/ or seeds/ that a node of dbt's manifest lies in."""
    return node["original_file_path"].split("/")[1]


def strangers(manifest: dict) -> set[str]:
    """References from one pack's models to another's."""
    nodes = {**manifest["nodes"], **manifest["sources"]}
    return {
        f"{node['name']} refers to {nodes[other]['name']}"
        for node in manifest["nodes"].values()
        for other in node.get("depends_on", {}).get("nodes", ())
        if other in nodes
        and node["resource_type"] == "model"
        and pack_of(nodes[other]) not in {pack_of(node), "shared"}
    }


def test_no_pack_refers_to_another_in_dbt(manifest):
    assert not strangers(manifest)


def test_the_rule_would_be_noticed_if_it_were_broken():
    manifest = {
        "nodes": {
            "a": {
                "name": "stg_a",
                "original_file_path": "models/energypack/staging/stg_a.sql",
                "resource_type": "model",
                "depends_on": {"nodes": ["b", "c"]},
            },
            "b": {
                "name": "stg_b",
                "original_file_path": "models/factorypack/staging/stg_b.sql",
                "resource_type": "model",
            },
            "c": {"name": "dim_date", "original_file_path": "models/shared/dim_date.sql", "resource_type": "model"},
        },
        "sources": {},
    }

    assert strangers(manifest) == {"stg_a refers to stg_b"}


def test_a_new_pack_is_found_by_listing_alone(tmp_path, monkeypatch):
    for folder in ("models/shared", "models/factorypack", "seeds/factorypack"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "seeds/factorypack/factorypack_calendars.csv").write_text(
        "calendar,zone,contract_hour,grace_minutes,label\nplant,Europe/Berlin,6,30,Plant\n"
    )
    monkeypatch.setattr(catalog, "DBT", tmp_path)
    monkeypatch.setattr(catalog, "MODELS", tmp_path / "models")

    assert catalog.packs() == ("factorypack",)
    assert [(c.pack, c.name, c.contract_hour) for c in catalog.calendars()] == [("factorypack", "plant", 6)]
