"""Walk a server's address space and write its variables as rows of the tag dictionary. It only reads.

    python -m include.ot.browse opc.tcp://scada:4840 --csv tags.csv
    python -m include.ot.browse field_scada --root "nsu=urn:maker:plc;s=Pads" > tags.csv

The first argument is an address, or the name of a declared source with its security and user. Rows are written as
they are found; how far it is goes to stderr. `tag_id`, `path` and `asset_id` are proposals from the folders that a
variable lies in. A number without EngineeringUnits gets no unit, and the dictionary refuses it until somebody who
knows has filled it in.
"""

import asyncio
import csv
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TextIO

from asyncua import ua

from include.errors import HnaiError, OtError
from include.ot import opcua_nodes
from include.ot.opcua_nodes import BadAddress, Limits, Property
from include.ot.opcua_session import MODES, POLICIES, Session, connect, strongest
from include.ot.opcua_units import unit_name
from include.ot.sources import Source, source, sources
from include.ot.tags import COLUMNS, Tag
from include.ot.trust import Pki

DOUBLE, LONG, BOOLEAN, TEXT = "double", "long", "boolean", "text"
_IDS = ua.ObjectIds
KINDS = {  # by the built-in type that a data type descends from
    _IDS.Double: DOUBLE,
    _IDS.Float: DOUBLE,
    _IDS.SByte: LONG,
    _IDS.Byte: LONG,
    _IDS.Int16: LONG,
    _IDS.UInt16: LONG,
    _IDS.Int32: LONG,
    _IDS.UInt32: LONG,
    _IDS.Int64: LONG,
    _IDS.UInt64: LONG,
    _IDS.Integer: LONG,
    _IDS.UInteger: LONG,
    _IDS.Number: DOUBLE,
    _IDS.Enumeration: LONG,
    _IDS.StatusCode: LONG,
    _IDS.Boolean: BOOLEAN,
    _IDS.String: TEXT,
    _IDS.LocalizedText: TEXT,
    _IDS.DateTime: TEXT,
    _IDS.Guid: TEXT,
}
AT_ONCE = 200  # variables whose attributes are read together


@dataclass(frozen=True)
class Variable:
    """A variable as its server describes it."""

    address: str
    folders: tuple[str, ...]  # names of the nodes above it, from the outside in
    name: str
    data_type: str  # of the dictionary
    unit: str
    range: tuple[float, float] | None
    sampling_ms: int | None  # the shortest that the server offers, where it says
    description: str
    value_rank: int = -1


@dataclass
class Count:
    """How far a walk is, and what it has left out."""

    nodes: int = 0
    variables: int = 0
    arrays: int = 0
    structures: int = 0
    unreadable: int = 0

    def __str__(self) -> str:
        left = [f"{getattr(self, f.name)} {f.name}" for f in fields(self)[2:] if getattr(self, f.name)]
        return f"{self.nodes} nodes seen, {self.variables} variables" + (
            f"; left out: {', '.join(left)}" if left else ""
        )


async def walk(
    session: Session,
    count: Count,
    *,
    root: ua.NodeId | None = None,
    depth: int = 50,
    everything: bool = False,
) -> AsyncIterator[list[Variable]]:
    """The variables below a node (the Objects folder by default), level by level, each once.

    `everything`: also the server's own diagnostics and other nodes of the OPC UA namespace.
    """
    known = await opcua_nodes.namespaces(session)
    limit = await opcua_nodes.limits(session)
    kinds = _Kinds(session, limit)
    start = root or ua.NodeId(_IDS.ObjectsFolder)
    level: list[tuple[ua.NodeId, tuple[str, ...]]] = [(start, ())]
    seen = {start}
    for _ in range(depth):
        below: list[tuple[ua.NodeId, tuple[str, ...]]] = []
        for part in opcua_nodes.portions(level, limit.browse):
            references = await opcua_nodes.browse(session, [node_id for node_id, _ in part], limit.browse)
            found: list[tuple[ua.NodeId, tuple[str, ...], str]] = []
            for (_, folders), of_node in zip(part, references, strict=True):
                for reference in of_node:
                    node_id = opcua_nodes.local(reference.NodeId)
                    if node_id in seen or reference.ReferenceTypeId == ua.NodeId(_IDS.HasProperty):
                        continue
                    if node_id.NamespaceIndex == 0 and not everything:
                        continue
                    seen.add(node_id)
                    count.nodes += 1
                    name = reference.BrowseName.Name or reference.DisplayName.Text or node_id.to_string()
                    if reference.NodeClass == ua.NodeClass.Variable:
                        found.append((node_id, folders, name))
                    if reference.NodeClass in (ua.NodeClass.Object, ua.NodeClass.Variable):
                        below.append((node_id, (*folders, name)))
            for variables in opcua_nodes.portions(found, AT_ONCE):
                described = await _describe(session, variables, known, limit, kinds, count)
                count.variables += len(described)
                yield described
        level = below


async def _describe(
    session: Session,
    variables: Sequence[tuple[ua.NodeId, tuple[str, ...], str]],
    known: Sequence[str],
    limit: Limits,
    kinds: "_Kinds",
    count: Count,
) -> list[Variable]:
    attributes = (
        ua.AttributeIds.DataType,
        ua.AttributeIds.ValueRank,
        ua.AttributeIds.Description,
        ua.AttributeIds.MinimumSamplingInterval,
        ua.AttributeIds.UserAccessLevel,
    )
    node_ids = [node_id for node_id, *_ in variables]
    said = await opcua_nodes.read(session, [(n, a) for n in node_ids for a in attributes], limit.read)
    rows = [
        [opcua_nodes.value_of(data) for data in said[i : i + len(attributes)]]
        for i in range(0, len(said), len(attributes))
    ]
    properties = await opcua_nodes.properties(session, node_ids, limit)
    found = []
    for (node_id, folders, name), row, node in zip(variables, rows, properties, strict=True):
        data_type_id, rank, description, sampling, access = row
        data_type = await kinds.of(data_type_id)
        if isinstance(rank, int) and rank >= 0:
            count.arrays += 1
        elif data_type is None:
            count.structures += 1
        elif isinstance(access, int) and not access & 1:
            count.unreadable += 1
        else:
            found.append(_variable(node_id, folders, name, data_type, description, sampling, node, known))
    return found


def _variable(
    node_id: ua.NodeId,
    folders: tuple[str, ...],
    name: str,
    data_type: str,
    description: Any,
    sampling: Any,
    node: Property,
    known: Sequence[str],
) -> Variable:
    unit = unit_name(node.units)
    if not unit and data_type in (BOOLEAN, TEXT):
        unit = "1"
    return Variable(
        address=opcua_nodes.address_of(node_id, known),
        folders=folders,
        name=name,
        data_type=data_type,
        unit=unit,
        range=node.eu_range,
        sampling_ms=round(sampling) if isinstance(sampling, int | float) and sampling >= 1 else None,
        description=" ".join((getattr(description, "Text", None) or "").split()),
    )


class _Kinds:
    """Which type of the dictionary a data type is; of a server's own types by what they descend from."""

    def __init__(self, session: Session, limit: Limits) -> None:
        self.session, self.limit = session, limit
        self.known: dict[ua.NodeId, str | None] = {ua.NodeId(i): kind for i, kind in KINDS.items()}

    async def of(self, data_type: ua.NodeId | None) -> str | None:
        if data_type is None:
            return None
        line: list[ua.NodeId] = []
        at: ua.NodeId | None = data_type
        while at is not None and at not in self.known and len(line) < 20:
            line.append(at)
            parents = await opcua_nodes.browse(
                self.session, [at], self.limit.browse, _IDS.HasSubtype, ua.BrowseDirection.Inverse
            )
            at = opcua_nodes.local(parents[0][0].NodeId) if parents[0] else None
        kind = self.known.get(at) if at is not None else None
        self.known.update(dict.fromkeys(line, kind))
        return kind


def row_of(variable: Variable, source_name: str, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """A variable as a row of the dictionary; names are proposals."""
    folders = [slug(f) for f in (*prefix, *variable.folders)] or ["plant"]
    asset = variable.folders[-1] if variable.folders else folders[-1]
    asset_id = re.sub(r"[^A-Za-z0-9_-]+", "-", asset).strip("-") or folders[-1]
    measurement = slug(variable.name)
    low, high = variable.range or (None, None)
    tag = Tag(
        tag_id=f"{asset_id}.{measurement}",
        path="/".join([*folders, measurement]),
        asset_id=asset_id,
        measurement=measurement,
        source=source_name,
        address=variable.address,
        data_type=variable.data_type,
        unit=variable.unit,
        range_low=low,
        range_high=high,
        sampling_ms=variable.sampling_ms,
        description=variable.description,
    )
    return {name: _cell(getattr(tag, name)) for name in COLUMNS}


def slug(name: str) -> str:
    """A name as paths write it: lower case, words joined by underscores, hyphens kept."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"[^a-z0-9-]+", "_", parts.lower()).strip("_") or "node"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


class _Unique:
    """Tag ids that are taken: the folder above is put before one that comes again, then a number."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def name(self, row: dict[str, Any], folders: Sequence[str]) -> dict[str, Any]:
        wanted = row["tag_id"]
        longer = f"{slug(folders[-2])}-{wanted}" if len(folders) > 1 else wanted
        tries = [wanted, longer, *(f"{longer}-{n}" for n in range(2, 10_000))]
        row["tag_id"] = next(tag_id for tag_id in tries if tag_id not in self.taken)
        self.taken.add(row["tag_id"])
        return row


async def browse(
    asked: Source,
    out: TextIO,
    *,
    root: str | None = None,
    depth: int = 50,
    everything: bool = False,
    match: str = "*",
    above: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
    store: Pki | None = None,
) -> Count:
    """Write the rows to `out` as they are found; gives what was found and left out.

    `above`: levels that every path has above the server's own, as the enterprise.
    """
    count, without_unit = Count(), 0
    session = await connect(asked, store)
    try:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        unique = _Unique()
        try:
            start = opcua_nodes.resolve(root, await opcua_nodes.namespaces(session)) if root else None
        except BadAddress as error:
            raise OtError(f"--root: {error}") from error
        async for variables in walk(session, count, root=start, depth=depth, everything=everything):
            for variable in variables:
                row = unique.name(row_of(variable, asked.name, above), variable.folders)
                if fnmatch(row["path"], match) or fnmatch(variable.address, match):
                    writer.writerow(row)
                    without_unit += not row["unit"]
            out.flush()
            say(f"{count}")
    finally:
        await session.close()
    if without_unit:
        say(f"{without_unit} rows have no unit: their nodes have no EngineeringUnits. Fill it in")
    return count


def asked_source(args: Namespace) -> Source:
    """The declared source that an address or a name means, or an undeclared one with what the flags say."""
    declared = {s.name: s for s in sources() if s.kind == "opcua"}
    if args.url in declared:
        found = declared[args.url]
    elif "://" not in args.url:
        found = source(args.url)  # says which names are known
        raise OtError(f"Source {found.name} is of kind {found.kind}: only OPC UA servers can be browsed")
    else:
        found = next((s for s in declared.values() if s.url.rstrip("/") == args.url.rstrip("/")), None)
        found = found or Source("new_source", "opcua", args.url, {"security": "best"})
    given = {n: getattr(args, n) for n in ("security", "mode", "user", "secret") if getattr(args, n)}
    return Source(args.source or found.name, "opcua", found.url, found.options | given)


def parser() -> ArgumentParser:
    made = ArgumentParser(
        prog="python -m include.ot.browse", description="Write an OPC UA server's variables as rows of the dictionary."
    )
    made.add_argument("url", help="opc.tcp://host:port/path, or the name of a declared source")
    made.add_argument("--csv", type=Path, help="file to write; stdout otherwise")
    made.add_argument("--source", help="name of the source that the rows belong to")
    made.add_argument("--root", help="address of the node to start at; the Objects folder otherwise")
    made.add_argument("--above", default="", help="levels that paths have above the server's own, as 'hnai/mesquite'")
    made.add_argument("--match", default="*", help="only paths or addresses like this, for example '*pressure*'")
    made.add_argument("--depth", type=int, default=50, help="levels to go down")
    made.add_argument("--all", action="store_true", help="also the server's own diagnostics")
    made.add_argument("--security", choices=POLICIES, help="policy; the strongest that the server offers otherwise")
    made.add_argument("--mode", choices=MODES)
    made.add_argument("--user", help="its password is a file in the secrets folder, named by --secret")
    made.add_argument("--secret", help="name of that file; ot_<source> otherwise")
    return made


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        count = asyncio.run(_main(args))
    except HnaiError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was found until now is written", file=sys.stderr)
        return 130
    print(f"\nDone: {count}" + (f" -> {args.csv}" if args.csv else ""), file=sys.stderr)
    return 0


async def _main(args: Namespace) -> Count:
    asked = await strongest(asked_source(args))
    is_terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        print(f"\r{text}" if is_terminal else text, end="" if is_terminal else "\n", file=sys.stderr, flush=True)

    with _output(args.csv) as out:
        return await browse(
            asked,
            out,
            root=args.root,
            depth=args.depth,
            everything=args.all,
            match=args.match,
            above=[level for level in args.above.split("/") if level],
            say=say,
        )


@contextmanager
def _output(path: Path | None) -> Any:
    if path is None:
        yield sys.stdout
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    try:
        with half.open("w", newline="", encoding="utf-8") as out:
            yield out
    except Exception:  # the file stays as it was; who stops it by hand gets what was found
        half.unlink()
        raise
    except BaseException:
        half.replace(path)
        raise
    half.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
