"""Where does a table come from, and what does it feed? Answered from `ops.lineage_events`.

python -m include.lineage.questions upstream energypack.fct_well_production_daily
python -m include.lineage.questions downstream raw.fieldops__well_tests
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from include.errors import HnaiError
from include.lineage.edges import Edge, dataset_keys, edges, key
from include.lineage.naming import dataset

Direction = Literal["upstream", "downstream"]


def walk(graph: Iterable[Edge], start: str, direction: Direction, column: str = "") -> list[tuple[int, Edge]]:
    """Every edge on the way from `start`, with its distance, nearest first; each dataset is visited once."""
    near, far = ("target", "source") if direction == "upstream" else ("source", "target")
    wanted = [e for e in graph if bool(e.source_column) == bool(column) and e.source != e.target]  # upkeep rewrites
    by_near: dict[tuple[str, str], list[Edge]] = {}
    for edge in wanted:
        by_near.setdefault((getattr(edge, near), getattr(edge, f"{near}_column")), []).append(edge)
    found: list[tuple[int, Edge]] = []
    seen, front, distance = {(start, column)}, [(start, column)], 0
    while front:
        distance += 1
        following = []
        for place in front:
            for edge in sorted(set(by_near.get(place, ()))):
                found.append((distance, edge))
                next_place = (getattr(edge, far), getattr(edge, f"{far}_column"))
                if next_place not in seen:
                    seen.add(next_place)
                    following.append(next_place)
        front = following
    return found


def stored_edges() -> set[Edge]:
    """What each job last said about each dataset that it wrote: a model that reads less today has less upstream."""
    from include import lakehouse

    if not lakehouse.exists("ops.lineage_events"):
        return set()
    with lakehouse.connect() as con:
        latest = con.execute(
            """
            select max_by(event, event_time)
            from lakehouse.ops.lineage_events
            where event_type = 'COMPLETE' and outputs <> '[]'
            group by job_name, inputs, outputs
            order by max(event_time) desc
            """
        ).fetchall()
    return latest_edges(json.loads(event) for (event,) in latest)


def latest_edges(events: Iterable[Mapping[str, Any]]) -> set[Edge]:
    """The edges of events that come newest first: of two by one job into one dataset, the newer counts."""
    found: set[Edge] = set()
    told: set[tuple[str, str]] = set()
    for event in events:
        wrote = {(event["job"]["name"], target) for target in dataset_keys(event.get("outputs"))}
        found.update(edge for edge in edges(event) if (edge.job, edge.target) not in told)
        told |= wrote
    return found


def resolve(name: str) -> str:
    """A dataset as people write it: `raw.x`, `energypack.x`, one of our URIs, or a column after a last colon."""
    uri = name if "://" in name else f"iceberg://{name.replace('.', '/', 1)}"
    return key(*dataset(uri))


def upstream(name: str, column: str = "") -> list[tuple[int, Edge]]:
    """What the table (or its column) is made of, all the way back to the sources."""
    return walk(stored_edges(), resolve(name), "upstream", column)


def downstream(name: str, column: str = "") -> list[tuple[int, Edge]]:
    """What the table (or its column) ends up in."""
    return walk(stored_edges(), resolve(name), "downstream", column)


def coverage(events: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Of the jobs that completed, how many named an input and an output; and how many there are.

    A DAG's own event is no job that moves data and is not counted.
    """
    jobs: dict[str, bool] = {}
    for event in events:
        if event["eventType"] != "COMPLETE" or "." not in event["job"]["name"]:
            continue
        name = event["job"]["name"]
        jobs[name] = jobs.get(name, False) or bool(event.get("inputs") and event.get("outputs"))
    return sum(jobs.values()), len(jobs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m include.lineage.questions", description=__doc__.split("\n")[0])
    parser.add_argument("direction", choices=["upstream", "downstream"])
    parser.add_argument("table", help="e.g. energypack.fct_well_production_daily, raw.fieldops__wells or workspace://…")
    parser.add_argument("--column", default="", help="follow one column")
    asked = parser.parse_args()
    found = (upstream if asked.direction == "upstream" else downstream)(asked.table, asked.column)
    if not found:
        raise HnaiError(f"No stored event names {asked.table}. Has a close run, and its report task?")
    print("\n".join(lines(found, asked.direction)))


def lines(found: list[tuple[int, Edge]], direction: Direction) -> list[str]:
    """The walk as text, one line per dataset (or column) and the one that it was reached from, with the jobs."""
    jobs: dict[tuple[int, str, str], set[str]] = {}
    for distance, edge in found:
        ends = [
            f"{e.split(' ', 1)[1]}{':' + c if c else ''}"
            for e, c in ((edge.source, edge.source_column), (edge.target, edge.target_column))
        ]
        reached, start = ends if direction == "upstream" else reversed(ends)
        jobs.setdefault((distance, reached, start), set()).add(edge.job)
    arrow = "makes" if direction == "upstream" else "made of"
    return [
        f"{'  ' * distance}{reached}  ({arrow} {start}, by {', '.join(sorted(by))})"
        for (distance, reached, start), by in jobs.items()
    ]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        pass
    except HnaiError as error:
        raise SystemExit(f"error: {error}") from None
