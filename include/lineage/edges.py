"""What an OpenLineage event says about who reads whom."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Edge(NamedTuple):
    """`target` is made of `source` by `job`; columns are empty where only the datasets are known."""

    source: str
    target: str
    job: str
    source_column: str = ""
    target_column: str = ""


def key(namespace: str, name: str) -> str:
    """A dataset as one text. Namespaces have no spaces."""
    return f"{namespace} {name}"


def dataset_keys(datasets: Iterable[Mapping[str, Any]] | None) -> list[str]:
    """The datasets of an event, sorted and without repeats."""
    return sorted({key(d["namespace"], d["name"]) for d in datasets or ()})


def edges(event: Mapping[str, Any]) -> Iterator[Edge]:
    """Every edge of an event. An output that names its own inputs has those alone, else all that the job read."""
    job = event["job"]["name"]
    inputs = dataset_keys(event.get("inputs"))
    for output in event.get("outputs") or ():
        target = key(output["namespace"], output["name"])
        lineage = (output.get("facets") or {}).get("columnLineage")
        if lineage is None:
            yield from (Edge(source, target, job) for source in inputs)
            continue
        own = [key(f["namespace"], f["name"]) for f in lineage.get("dataset") or ()]
        columns = [
            Edge(key(f["namespace"], f["name"]), target, job, f["field"], column)
            for column, fields in (lineage.get("fields") or {}).items()
            for f in fields["inputFields"]
        ]
        yield from columns
        for source in sorted(set(own) | {c.source for c in columns}):
            yield Edge(source, target, job)
