"""The OPC UA server of the demo operator's fields: the instruments of 66 wells, and their history.

    python -m demo.opcua_simulator
    python -m demo.opcua_simulator --allow-writes    # gives the bridge's user the rights of an operator, for proofs

Every second each instrument is sampled; its node changes when the shown value does, and carries the exact sampling
time, so that each stored value can be compared with `demo.scada.truth`. History is computed on demand: each sample
of the times in which this server was up, and one in ten minutes of the rest (what the controllers kept meanwhile).
What clients have asked is counted in `<state>/ot/simulator/opcua_requests.json`. SIGTERM ends it.
"""

import argparse
import asyncio
import gc
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from asyncua import ua
from asyncua.server.history import HistoryStorageInterface

from demo import scada
from demo.opcua_server import PlantServer, Point
from demo.scada import SECOND, microseconds, moment
from demo.scada_tags import NAMESPACE, Row, well_rows
from demo.simulators import Instruments, Runs, now_us, seconds, simulator_dir, tell_requests, told_to_stop
from include.errors import HnaiError
from include.settings import secret, settings

log = logging.getLogger("demo.opcua_simulator")
USER, SECRET = "mirror", "ot_field_scada"
SOURCE = "field_scada"
SPARSE = 600 * SECOND
CHUNK = 6 * scada.HOUR
PAGE = 10_000  # values in one answer to HistoryRead


class TrueHistory(HistoryStorageInterface):
    """Raw history, computed from the truth when it is asked for."""

    def __init__(self, server: PlantServer, tags: dict[str, str], runs: Runs) -> None:
        self.server, self.tags, self.runs = server, tags, runs

    async def read_node_history(self, node_id, start, end, nb_values):
        tag_id = self.tags.get(self.server.node_name(node_id) or "")
        if tag_id is None:
            return [], None
        await asyncio.sleep(0)  # one request may ask for all nodes: the seconds must not wait for that
        unset = ua.get_win_epoch()
        latest = self.runs.last
        oldest = latest - int(settings.ot.history_hours * scada.HOUR)
        is_backwards = start in (None, unset) or (end not in (None, unset) and start > end)
        low, high = (end, start) if is_backwards else (start, end)
        low = oldest if low in (None, unset) else max(microseconds(low), oldest)
        high = latest if high in (None, unset) else min(microseconds(high), latest)
        most = min(nb_values or PAGE, PAGE)
        found = []
        for at, value, quality in samples(tag_id, low, high, self.runs.all(), is_backwards):
            found.append(
                ua.DataValue(
                    ua.Variant(None if quality >> 31 else value),
                    ua.StatusCode(quality),
                    moment(at),
                    moment(at),
                )
            )
            if len(found) > most:
                break
        rest = found[most].SourceTimestamp if len(found) > most else None
        return found[:most], rest

    async def init(self):
        pass

    async def stop(self):
        pass

    async def new_historized_node(self, node_id, period, count=0):
        pass

    async def save_node_value(self, node_id, datavalue):
        pass

    async def new_historized_event(self, source_id, evtypes, period, count=0):
        pass

    async def save_event(self, event):
        pass

    async def read_event_history(self, source_id, start, end, nb_values, evfilter):
        return [], None


def samples(
    tag_id: str, low: int, high: int, runs: Sequence[tuple[int, int]], is_backwards: bool = False
) -> Iterator[tuple[int, float, int]]:
    """(time, value, quality) of every historic sample from `low` to `high`, both included, computed in chunks."""
    chunks = range(low - low % CHUNK, high + 1, CHUNK)
    for chunk in reversed(chunks) if is_backwards else chunks:
        first, last = max(low, chunk), min(high, chunk + CHUNK - 1)
        times = kept_times(tag_id, first, last, runs)
        if len(times):
            values, quality = scada.truth(tag_id, times)
            rows = zip(times.tolist(), values.tolist(), quality.tolist(), strict=True)
            yield from reversed(list(rows)) if is_backwards else rows


def kept_times(tag_id: str, first: int, last: int, runs: Sequence[tuple[int, int]]) -> np.ndarray:
    """When this tag has a sample: a change while the server was up, and every ten minutes while it was not."""
    sparse = np.arange(-(-first // SPARSE) * SPARSE, last + 1, SPARSE)
    found = []
    for start, end in runs:
        sparse = sparse[(sparse < start) | (sparse > end)]
        begin = max(start, -(-first // SECOND) * SECOND)
        if begin > min(end, last):
            continue
        times = np.arange(begin - SECOND, min(end, last) + 1, SECOND)
        values, quality = scada.truth(tag_id, times)
        same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        is_kept = ~same | (quality[1:] != quality[:-1]) | (times[1:] == start)
        found.append(times[1:][is_kept])
    return np.sort(np.concatenate([sparse, *found]))


def points(rows: Sequence[Row]) -> list[Point]:
    found = []
    for row in rows:
        _, site, area, well, _ = row.path.split("/")
        found.append(
            Point(
                node=node_of(row),
                folders=(site.upper(), area.upper(), well.upper()),
                name=row.measurement,
                unit=row.unit,
                low=float(row.range_low),
                high=float(row.range_high),
                description=row.description,
            )
        )
    return found


def node_of(row: Row) -> str:
    return row.address.split(";s=", 1)[1]


async def serve(stop: asyncio.Event, allow_writes: bool = False) -> None:
    """Open the port, tick until `stop`, close."""
    gc.disable()  # what is made here stays: looking for rubbish in it takes a quarter of the start
    scada.remember_operator()
    rows = [row for row in well_rows() if row.source == SOURCE]
    nodes = [node_of(row) for row in rows]
    server = PlantServer(
        url=f"opc.tcp://{settings.host}:{settings.port('opcua_simulator')}/hnai/scada",
        namespace=NAMESPACE,
        users={USER: secret(SECRET)},
        allow_writes=allow_writes,
    )
    await server.prepare(points(rows), pki=simulator_dir() / "pki")
    _let_bridges_trust(simulator_dir() / "pki" / "certificate.der")
    runs = Runs(simulator_dir() / "opcua_runs.txt")
    instruments = Instruments([row.tag_id for row in rows])
    at = now_us() // SECOND * SECOND
    runs.begin(at)
    shown, codes = instruments.at(at)
    for n, node in enumerate(nodes):
        await server.show(node, float(shown[n]), int(codes[n]), moment(at), datetime.now(UTC))
    server.keep_history_in(TrueHistory(server, dict(zip(nodes, instruments.tag_ids, strict=True)), runs))
    await server.start()
    gc.freeze()
    gc.enable()
    log.info("%d points at %s%s", len(rows), server.endpoint.geturl(), "; WRITES ARE ALLOWED" if allow_writes else "")
    try:
        await _tick(server, instruments, nodes, runs, at, stop)
    finally:
        tell_requests("opcua", server.writes, server.requests)
        await server.stop()


async def _tick(server, instruments, nodes, runs, begun, stop) -> None:
    shown, codes = instruments.at(begun)
    async for at in seconds(begun, runs, stop):
        values, quality = instruments.at(at)
        same = (values == shown) | (np.isnan(values) & np.isnan(shown))
        sampled_at, now = moment(at), datetime.now(UTC)
        for n in np.flatnonzero(~same | (quality != codes)):
            await server.show(nodes[n], float(values[n]), int(quality[n]), sampled_at, now)
        shown, codes = values, quality
        await server.tell_time(now)
        tell_requests("opcua", server.writes, server.requests)


def _let_bridges_trust(certificate: Path) -> None:
    """The demo's trust step: what a plant engineer does once with a certificate that he has checked."""
    trusted = settings.ot_dir / "pki" / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(certificate, trusted / "demo-opcua-simulator.der")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.opcua_simulator", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--allow-writes", action="store_true", help=f"the user {USER} may write, call and add nodes; for proofs only"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    async def run() -> None:
        await serve(told_to_stop(), chosen.allow_writes)

    try:
        asyncio.run(run())
    except (HnaiError, OSError) as error:
        print(f"The simulator stops: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
