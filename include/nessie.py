"""What a Nessie catalog remembers of a table.

Through Iceberg's REST protocol it shows each table with one snapshot, the current one. What was before is in
Nessie's own commits, and `<table>#<commit>` is the name under which a table reads as it was then, in every engine.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import requests
from pyiceberg.catalog.rest import RestCatalog

TIMEOUT_S = 60


class State(NamedTuple):
    """A table as one commit left it."""

    commit: str
    snapshot_id: int | None  # None: the table was just created
    committed_at: datetime


def states(catalog: RestCatalog, identifier: str) -> Iterator[State]:
    """The states of the table `<namespace>.<name>` on the branch that the catalog is opened on, newest first."""
    base = f"{catalog.properties['nessie.core-base-uri'].rstrip('/')}/v2/trees/{_branch(catalog)}/history"
    wanted = {"fetch": "ALL", "filter": f"operations.exists(op, op.key == '{identifier}')"}
    page: dict[str, str] = {}
    while True:
        answer = requests.get(base, params={**wanted, **page}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        found = answer.json()
        for entry in found["logEntries"]:
            meta = entry["commitMeta"]
            for operation in entry["operations"]:
                if ".".join(operation["key"]["elements"]) == identifier and operation["type"] == "PUT":
                    snapshot = operation["content"]["snapshotId"]
                    committed_at = datetime.fromisoformat(meta["commitTime"])
                    yield State(meta["hash"], None if snapshot == -1 else snapshot, committed_at)
        if not found["hasMore"]:
            return
        page = {"page-token": found["token"]}


def name_at(catalog: RestCatalog, identifier: str, snapshot_id: int) -> str | None:
    """The identifier under which the table reads at that snapshot; None where Nessie does not remember it."""
    found = (state for state in states(catalog, identifier) if state.snapshot_id == snapshot_id)
    return next((f"{identifier}#{state.commit}" for state in found), None)


def other_references(catalog: RestCatalog) -> list[str]:
    """The names of the branches and tags beside the branch that the catalog is opened on."""
    base = f"{catalog.properties['nessie.core-base-uri'].rstrip('/')}/v2/trees"
    answer = requests.get(base, timeout=TIMEOUT_S)
    answer.raise_for_status()
    names = [reference["name"] for reference in answer.json()["references"]]
    return [name for name in names if name != _branch(catalog)]


def _branch(catalog: RestCatalog) -> str:
    return requests.utils.unquote(catalog.properties["prefix"]).partition("|")[0]
