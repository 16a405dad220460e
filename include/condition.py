"""Which packs watch the condition of assets: those with a folder `include/packs/<pack>/condition`, found by listing.

Such a package names in `MART` the mart whose publishing starts its scoring, and has a module `run` with the steps
`tell`, `train`, `score` and `alert`.
"""

import importlib
from types import ModuleType

from include.catalog import packs
from include.settings import ROOT


def scored_packs() -> list[tuple[str, str]]:
    """Pack and mart of each. Light: nothing but the package's own name for its mart is imported."""
    listed = [pack for pack in packs() if (ROOT / "include" / "packs" / pack / "condition" / "__init__.py").is_file()]
    return [(pack, importlib.import_module(f"include.packs.{pack}.condition").MART) for pack in listed]


def steps_of(pack: str) -> ModuleType:
    """The pack's steps. Heavy: in a worker only."""
    return importlib.import_module(f"include.packs.{pack}.condition.run")
