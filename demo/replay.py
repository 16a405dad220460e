"""Play a real file into a real server, as if the plant were there: the mirror reads it like any other source.

    python -m demo.replay threew     WELL-00001_20140124213136.parquet --speed 60
    python -m demo.replay historian  real_process_data.csv --speed max
    python -m demo.replay mtconnect  mazak01-20190611-20190612.txt --speed 60
    python -m demo.replay check      replay_real_process_data

`threew` and `historian` are served by OPC UA, `mtconnect` by an adapter that speaks SHDR over TCP. Source times are
the file's. Nothing is played before somebody listens, and nothing faster than he reads: `--speed max` is as fast as
that. A replay writes to `<state>/demo/replay/<source>/`: the tag rows and the source's YAML by which a bridge can read
it, and `served.parquet`, each value that it served. `check` compares that with `ot.readings`, value by value.
"""

import argparse
import asyncio
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demo.replay_files import (
    BAD_NO_DATA,
    GOOD,
    Cell,
    Column,
    Line,
    ReplayError,
    is_unavailable,
    read_historian,
    read_shdr,
    read_threew,
    shdr_columns,
)
from demo.scada_tags import ENTERPRISE, Row, as_csv
from demo.simulators import told_to_stop
from include.errors import HnaiError
from include.settings import settings

log = logging.getLogger("demo.replay")
NAMESPACE = "urn:hnai:demo:replay"
READERS = {"threew": read_threew, "historian": read_historian}
PORTS = {"threew": 4841, "historian": 4841, "mtconnect": 7878}
OWNER = "replay"
BURST = 50  # rows that are shown before the reader has to take them: a notification of a size that any reader likes
SERVED = pa.schema(
    [
        ("tag_id", pa.string()),
        ("observed_at", pa.timestamp("us", tz="UTC")),
        ("value_double", pa.float64()),
        ("value_text", pa.string()),
        ("value_bool", pa.bool_()),
        ("quality", pa.int64()),
        ("is_news", pa.bool_()),  # differs from the value before: what a subscription is told
    ]
)


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "x"


def unique(names: Sequence[str]) -> list[str]:
    """The names, a repeated one with a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def folder_of(source: str) -> Path:
    return settings.state_dir / "demo" / "replay" / source


class Pace:
    """When what follows is due: the file's own pauses divided by the speed, none longer than `longest_s`."""

    def __init__(self, speed: float | None, longest_s: float, stop: asyncio.Event) -> None:
        self.speed, self.longest_s, self.stop = speed, longest_s, stop
        self.late_s = 0.0  # the most that the reader, or this machine, held the replay up
        self._due, self._last = time.monotonic(), None

    async def until(self, at: datetime | None) -> bool:
        """Wait for the time of the file; False once the replay is to stop."""
        if self.speed and at is not None:
            if self._last is not None and at > self._last:
                self._due += min((at - self._last).total_seconds() / self.speed, self.longest_s)
            self._last = max(at, self._last) if self._last else at
            left = self._due - time.monotonic()
            self.late_s = max(self.late_s, -left)
            if left > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), left)
                return not self.stop.is_set()
        await asyncio.sleep(0)
        return not self.stop.is_set()


class Served:
    """What was served, on disk, and counts of it."""

    BATCH = 50_000

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.counts, self.bad = path, Counter(), Counter()
        self._writer = pq.ParquetWriter(path, SERVED, compression="zstd")
        self._rows: list[tuple] = []
        self._last: dict[str, Cell] = {}

    def add(self, tag_id: str, at: datetime, cell: Cell, each_is_news: bool = False) -> None:
        value, quality = cell
        last = self._last.get(tag_id)
        is_news = each_is_news or last is None or last[1] != quality or not _same(last[0], value)
        self._last[tag_id] = cell
        self.counts["values"] += 1
        self.counts["news"] += is_news
        if quality >> 31:
            self.bad[quality] += 1
        double = value if isinstance(value, float) else None
        text, flag = value if isinstance(value, str) else None, value if isinstance(value, bool) else None
        self._rows.append((tag_id, at, double, text, flag, quality, is_news))
        if len(self._rows) >= self.BATCH:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [[] for _ in SERVED]
        arrays = [pa.array(list(c), f.type, from_pandas=False) for c, f in zip(columns, SERVED, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SERVED))
        self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def _same(a, b) -> bool:
    return a == b or (a != a and b != b)


@dataclass(frozen=True)
class Asset:
    """One file: its tags in the order of its columns."""

    path: Path
    rows: tuple[Row, ...]
    nodes: tuple[str, ...]
    columns: tuple[Column, ...]


def asset(path: Path, columns: Sequence[Column], source: str, kind: str, name: str | None = None) -> Asset:
    """The tags of a file. Tag ids keep the names of its columns, paths are made of slugs."""
    asset_id = name or path.stem
    names = unique([c.name for c in columns])
    measurements = unique([slug(c.name) for c in columns])
    nodes = tuple(f"{asset_id}/{n}" for n in names)
    rows = tuple(
        Row(
            tag_id=f"{asset_id}.{n}",
            path=f"{ENTERPRISE}/replay/{kind}/{slug(asset_id)}/{measurement}",
            asset_id=asset_id,
            measurement=measurement,
            source=source,
            address=n if kind == "mtconnect" else f"nsu={NAMESPACE};s={node}",
            data_type=column.kind,
            unit=column.unit,
            range_low="",
            range_high="",
            deadband="",
            deadband_type="",
            sampling_ms="",
            owner=OWNER,
            description=f"{n} of {path.name}.",
        )
        for n, node, measurement, column in zip(names, nodes, measurements, columns, strict=True)
    )
    return Asset(path, rows, nodes, tuple(columns))


def _refuse_twins(assets: Sequence[Asset]) -> None:
    names = Counter(a.rows[0].asset_id for a in assets)
    if twins := [name for name, count in names.items() if count > 1]:
        raise ReplayError(f"Two files are called {twins[0]}; play them one by one, with --asset")


def declare(source: str, assets: Sequence[Asset], yaml: str) -> None:
    """Write the tag rows and the source's YAML, and say how a bridge takes them over."""
    folder = folder_of(source)
    folder.mkdir(parents=True, exist_ok=True)
    tags, declaration = folder / f"{source}_tags.csv", folder / f"{source}.yaml"
    tags.write_text(as_csv([row for a in assets for row in a.rows]))
    declaration.write_text(yaml)
    log.info(
        "%d tags. To mirror them:\n  cp %s dbt/seeds/energypack/\n  cp %s include/ot/sources/\n"
        "  python -m include.ot.bridge %s",
        sum(len(a.rows) for a in assets),
        tags,
        declaration,
        source,
    )


async def play_opcua(chosen: argparse.Namespace, stop: asyncio.Event) -> Served:
    """Serve the rows of the files, one file after the other, from one OPC UA server."""
    from demo.opcua_server import PlantServer, Point

    read = READERS[chosen.format]
    tables = [read(path, chosen.zone, chosen.time_format) for path in chosen.files]
    assets = [
        asset(path, table.columns, chosen.source, chosen.format, chosen.asset)
        for path, table in zip(chosen.files, tables, strict=True)
    ]
    _refuse_twins(assets)
    url = f"opc.tcp://{settings.host}:{chosen.port}/hnai/replay"
    server = PlantServer(url=url, namespace=NAMESPACE, users={})
    points = [
        Point(node, (chosen.format, a.rows[0].asset_id), column.name, row.data_type, row.unit)
        for a in assets
        for node, column, row in zip(a.nodes, a.columns, a.rows, strict=True)
    ]
    await server.prepare(points, anonymous=True)
    await server.start()
    declare(
        chosen.source,
        assets,
        f"# A replay of {', '.join(p.name for p in chosen.files)}\nkind: opcua\nurl: {url}\nsecurity: None\n"
        "queue_size: 1000\npublishing_ms: 100\nsampling_ms: 100\n",
    )
    served = Served(folder_of(chosen.source) / "served.parquet")
    wanted = {node for a in assets for node in a.nodes}
    try:
        log.info("Waiting for a subscription at %s", url)
        await _until(lambda: _is_watched(server, wanted, chosen.any), server.published, stop)
        pace = Pace(chosen.speed, chosen.longest_pause_s, stop)
        for a, table in zip(assets, tables, strict=True):
            await _play_rows(server, a, table.rows, pace, served, wanted, chosen.any)
            for reason, count in table.skipped.items():
                log.warning("%s: %d rows left out: %s", a.path.name, count, reason)
        await _until(lambda: server.is_delivered() or not server.subscribed(), server.published, stop)
        _sum_up(served, pace)
        if chosen.stay:
            await stop.wait()
    finally:
        served.close()
        await server.stop()
    return served


def _is_watched(server, wanted: set[str], is_any_enough: bool) -> bool:
    watched = server.subscribed() & wanted
    return bool(watched) if is_any_enough else watched == wanted


async def _until(holds: Callable[[], bool], changed: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait until a condition holds, which can only come true when `changed` is set; or until `stop`."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            changed.clear()
            if holds():
                return
            change = asyncio.ensure_future(changed.wait())
            await asyncio.wait([change, stopping], return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
    finally:
        stopping.cancel()


async def _play_rows(
    server, a: Asset, rows: Iterator, pace: Pace, served: Served, wanted: set[str], any_: bool
) -> None:
    room = 0
    for at, cells in rows:
        if not await pace.until(at):
            return
        if not room:
            await _until(lambda: _is_watched(server, wanted, any_) and server.room() > 0, server.published, pace.stop)
            if pace.stop.is_set():
                return
            room = min(server.room(), BURST)
        room -= 1
        now = datetime.now(UTC)
        for node, row, cell in zip(a.nodes, a.rows, cells, strict=True):
            await server.show(node, cell[0], cell[1], at, now)
            served.add(row.tag_id, at, cell)
        served.counts["rows"] += 1


async def play_mtconnect(chosen: argparse.Namespace, stop: asyncio.Event) -> Served:
    """Send the lines of the files to whoever is connected, one file after the other."""
    of_file = [read_shdr(path) for path in chosen.files]
    assets = [
        asset(path, shdr_columns(lines), chosen.source, "mtconnect", chosen.asset)
        for path, lines in zip(chosen.files, of_file, strict=True)
    ]
    _refuse_twins(assets)
    if len(assets) > 1 and len({r.address for a in assets for r in a.rows}) < sum(len(a.rows) for a in assets):
        raise ReplayError("An adapter tells keys, not machines: files that share keys are played one by one")
    adapter = Adapter()
    listening = await asyncio.start_server(adapter.serve, settings.host, chosen.port)
    declare(
        chosen.source,
        assets,
        f"# A replay of {', '.join(p.name for p in chosen.files)}\nkind: mtconnect\n"
        f"url: shdr://{settings.host}:{chosen.port}\n",
    )
    served = Served(folder_of(chosen.source) / "served.parquet")
    try:
        log.info("Waiting for a reader at %s:%d", settings.host, chosen.port)
        pace = Pace(chosen.speed, chosen.longest_pause_s, stop)
        for a, lines in zip(assets, of_file, strict=True):
            tag_ids = {row.address: row.tag_id for row in a.rows}
            kinds = {row.address: row.data_type for row in a.rows}
            await _play_lines(adapter, lines, pace, served, tag_ids, kinds)
        _sum_up(served, pace)
        if chosen.stay:
            await stop.wait()
    finally:
        served.close()
        listening.close()
        await adapter.close()
    return served


async def _play_lines(adapter, lines: Sequence[Line], pace: Pace, served: Served, tag_ids, kinds) -> None:
    for line in lines:
        if not await pace.until(line.at):
            return
        await _until(lambda: bool(adapter.writers), adapter.changed, pace.stop)
        if pace.stop.is_set():
            return
        await adapter.send(line)
        served.counts["rows"] += 1
        for address, value in line.said:
            served.add(tag_ids[address], line.at, _said(value, kinds[address]), each_is_news=True)


def _said(value: str, kind: str) -> Cell:
    if is_unavailable(value) or (not value and kind == "double"):
        return None, BAD_NO_DATA
    return (float(value) if kind == "double" else value), GOOD


class Adapter:
    """An MTConnect adapter: sends its lines to everyone who connects, the latest of each key
    first; answers pings."""

    HEARTBEAT_MS = 10_000

    def __init__(self) -> None:
        self.writers: set[asyncio.StreamWriter] = set()
        self.changed = asyncio.Event()
        self._latest: dict[str, str] = {}
        self._serving: set[asyncio.Task] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        for text in self._latest.values():
            writer.write(f"{text}\n".encode())
        self.writers.add(writer)
        self.changed.set()
        try:
            while line := await reader.readline():
                if line.strip() == b"* PING":
                    writer.write(f"* PONG {self.HEARTBEAT_MS}\n".encode())
        except ConnectionError as error:
            log.info("A reader is gone: %s", error)
        finally:
            self.writers.discard(writer)
            writer.close()
            self._serving.discard(asyncio.current_task())

    async def send(self, line: Line) -> None:
        """Send a line to everyone, and wait while somebody does not keep up."""
        for address, _ in line.said:
            self._latest[address] = line.text
        for writer in list(self.writers):
            writer.write(f"{line.text}\n".encode())
            try:
                await writer.drain()
            except ConnectionError:
                self.writers.discard(writer)

    async def close(self) -> None:
        for writer in list(self.writers):
            with suppress(ConnectionError):
                await writer.drain()
            writer.close()
        await asyncio.gather(*self._serving)


def _sum_up(served: Served, pace: Pace) -> None:
    bad = ", ".join(f"{count:,} of {code:#010x}" for code, count in served.bad.most_common())
    log.info(
        "Played %d rows: %d values, %d of them news%s%s. Compare: python -m demo.replay check %s",
        served.counts["rows"],
        served.counts["values"],
        served.counts["news"],
        f"; bad: {bad}" if bad else "",
        f"; at most {pace.late_s:.1f} s late" if pace.speed else "",
        served.path.parent.name,
    )


def check(source: str) -> int:
    """Compare what was served with `ot.readings`: 0 when each changed value is there and nothing else."""
    from include.lakehouse import connect, exists

    served = folder_of(source) / "served.parquet"
    if not served.is_file():
        raise ReplayError(f"{served} does not exist: nothing was replayed as {source!r}")
    if not exists("ot.readings"):
        raise ReplayError("ot.readings does not exist yet: the mirror has stored nothing")
    columns = "tag_id, observed_at, value_double, value_text, value_bool, quality"
    with connect() as con:
        con.execute("set timezone = 'UTC'")
        con.execute(
            f"""
            create temp table served as select tag_id, observed_at,
                case when isnan(value_double) then null else value_double end as value_double, value_text, value_bool,
                case when isnan(value_double) then {0x803C0000} else quality end as quality, is_news
            from read_parquet('{served}');
            create temp table stored as select {columns} from lakehouse.ot.readings
            where clock = 'source' and tag_id in (select distinct tag_id from served)
                and observed_at between (select min(observed_at) from served) and (select max(observed_at) from served)
            """
        )
        missing = f"select {columns} from served where is_news except select {columns} from stored"
        strange = f"select {columns} from stored except select {columns} from served"
        counts = con.execute(
            f"""
            select (select count(*) from (select distinct {columns} from served where is_news)),
                (select count(*) from (select distinct {columns} from stored)), (select count(*) from stored),
                (select count(*) from ({missing})), (select count(*) from ({strange}))
            """
        ).fetchone()
        for name, count in zip(("served", "stored", "stored rows", "missing", "unknown"), counts, strict=True):
            print(f"  {name:12}{count:>10,}")
        for name, query in (("missing", missing), ("unknown", strange)):
            for row in con.execute(f"select * from ({query}) order by all limit 5").fetchall():
                print(f"  {name}: {row}")
    return 1 if counts[3] or counts[4] else 0


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if speed <= 0:
        raise argparse.ArgumentTypeError("a speed is above 0, or max")
    return speed


def chosen_by(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.replay", description=__doc__.splitlines()[0])
    formats = parser.add_subparsers(dest="format", required=True)
    for name, port in PORTS.items():
        one = formats.add_parser(name)
        one.add_argument("files", nargs="+", type=Path, metavar="FILE")
        one.add_argument("--speed", type=_speed, default=60.0, help="seconds of the file in a second; max; default 60")
        one.add_argument("--port", type=int, default=port + settings.port_shift, help=f"default {port}, shifted")
        one.add_argument("--source", help="name of the source; default replay_<file>")
        one.add_argument("--asset", help="name of what the file measures; default its own name")
        one.add_argument("--zone", default="UTC", help="zone of times that have none; default UTC")
        one.add_argument("--time-format", help="as of strptime, where it cannot be found out")
        one.add_argument("--longest-pause-s", type=float, default=5.0, help="pauses of the file are cut to this")
        one.add_argument("--any", action="store_true", help="begin once any tag is read, not all")
        one.add_argument("--stay", action="store_true", help="go on serving the last values until SIGTERM")
    formats.add_parser("check").add_argument("source")
    chosen = parser.parse_args(arguments)
    if chosen.format != "check":
        chosen.source = chosen.source or f"replay_{slug(chosen.files[0].stem)}"
        if chosen.asset and len(chosen.files) > 1:
            parser.error("--asset names one file; give one file")
    return chosen


async def play(chosen: argparse.Namespace, stop: asyncio.Event) -> Served:
    """Play the files until they are at their end and delivered, or until `stop`."""
    return await (play_mtconnect if chosen.format == "mtconnect" else play_opcua)(chosen, stop)


def main(arguments: list[str] | None = None) -> int:
    chosen = chosen_by(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    async def run() -> None:
        await play(chosen, told_to_stop())

    try:
        if chosen.format == "check":
            return check(chosen.source)
        asyncio.run(run())
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
