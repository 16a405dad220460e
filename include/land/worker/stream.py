"""One source's stream: hold each transaction's rows until it has ended, then land whole transactions together.

The end of a transaction tells its commit position; rows are filed under it, so positions rise in the order in
which PostgreSQL delivers, whatever order the transactions began in. A transaction of any size is either in or
not: its rows wait in memory up to `spool_rows`, beyond that in Arrow files.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pyarrow as pa

from include.land.worker.landing_table import LandingTable, Rows, is_behind

Name = tuple[str, str]  # schema and table in the source


@dataclass
class Part:
    """Converted rows that can be read again: in memory, or in a file of batches whose commit came later."""

    count: int
    table: pa.Table | None = None
    path: Path | None = None
    commit_lsn: int | None = None

    def batches(self) -> Iterator[pa.Table]:
        if self.table is not None:
            yield self.table
            return
        assert self.path is not None
        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                rows = pa.Table.from_batches([batch])
                yield rows.append_column(
                    "_commit_lsn", pa.repeat(pa.scalar(self.commit_lsn, pa.int64()), rows.num_rows)
                )

    def drop(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class _Spool:
    """Where the rows of one table wait for the end of a large transaction. A change of columns starts a new file."""

    def __init__(self, folder: Path, name: Name) -> None:
        self._folder, self._name = folder, name
        self._files: list[tuple[Path, int]] = []
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None

    def add(self, rows: pa.Table) -> None:
        if self._writer is None or rows.schema != self._schema:
            self.close()
            path = self._folder / f"{self._name[0]}.{self._name[1]}.{time.time_ns()}.arrow"
            self._writer, self._schema = pa.ipc.new_stream(str(path), rows.schema), rows.schema
            self._files.append((path, 0))
        self._writer.write_table(rows)
        path, count = self._files[-1]
        self._files[-1] = (path, count + rows.num_rows)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def parts(self, commit_lsn: int) -> list[Part]:
        self.close()
        return [Part(count, path=path, commit_lsn=commit_lsn) for path, count in self._files]


@dataclass
class Ready:
    """Whole transactions, ready to be committed, and the position that they reach."""

    parts: dict[Name, list[Part]] = field(default_factory=dict)
    aside: dict[Name, list[Part]] = field(default_factory=dict)
    commit_lsn: int = 0
    count: int = 0


class Stream:
    """Turns batches of Debezium's JSON lines into `Ready` parts. `table_of` finds or opens a captured table."""

    def __init__(
        self, epoch: int, folder: Path, table_of: Callable[[Name], LandingTable | None], spool_rows: int = 20_000
    ) -> None:
        self.epoch = epoch
        self._folder = folder
        self._table_of = table_of
        self._spool_rows = spool_rows
        shutil.rmtree(folder, ignore_errors=True)  # what a killed process left: it comes again
        folder.mkdir(parents=True)
        self._open: dict[Name, Rows] = {}
        self._spools: dict[tuple[Name, bool], _Spool] = {}
        self._ended: dict[Name, Rows] = {}
        self._highest = 0  # the last transaction that ended here, landed or waiting
        self.ready = Ready()

    def feed(self, payload: bytes) -> int | None:
        """Take a batch. Gives the line of the last transaction end in it, if there is one: the point to acknowledge."""
        last_end = None
        opened = self._open
        for line, text in enumerate(payload.split(b"\n")):
            event = orjson.loads(text)
            if event is None:
                continue
            origin = event.get("source")
            if origin is None:
                status = event.get("status")
                if status == "END":
                    self._end(int(event["id"].rpartition(":")[2]))
                    last_end = line
                elif status == "BEGIN":
                    self._forget_open()
                continue
            operation = event["op"]
            if operation == "m":  # a message that an application wrote into the log: not a row of a table
                continue
            name = (origin["schema"], origin["table"])
            rows = opened.get(name)
            if rows is None:
                rows = opened[name] = Rows()
            rows.values.append(event["before"] if operation == "d" else event["after"])
            rows.operations.append(operation)
            rows.lsns.append(origin["lsn"])
            rows.places.append(event["transaction"]["total_order"])
            rows.instants.append(origin["ts_us"])
        self._convert_ended()
        if sum(map(len, opened.values())) >= self._spool_rows:
            self._spool_open()
        return last_end

    def take(self) -> Ready:
        """What is ready, handed over: the stream starts a new collection."""
        ready, self.ready = self.ready, Ready()
        return ready

    def _end(self, commit_lsn: int) -> None:
        if commit_lsn <= self._highest:  # Debezium has restarted by itself and delivers again what was not acknowledged
            self._forget_open()
            return
        self._highest = commit_lsn
        if self._spools:
            self._spool_open()
            for (name, is_aside), spool in self._spools.items():
                table = self._table_of(name)
                parts = spool.parts(commit_lsn)
                if table is None or is_behind(table.mark, self.epoch, commit_lsn):
                    for part in parts:
                        part.drop()
                    continue
                self._convert_ended()  # keep the order of delivery
                (self.ready.aside if is_aside else self.ready.parts).setdefault(name, []).extend(parts)
                self.ready.count += sum(p.count for p in parts)
            self._spools = {}
        for name, rows in self._open.items():
            table = self._table_of(name)
            if table is not None and not is_behind(table.mark, self.epoch, commit_lsn):
                self._ended.setdefault(name, Rows()).extend(rows, commit_lsn)
        self._open.clear()
        self.ready.commit_lsn = commit_lsn

    def _convert_ended(self) -> None:
        for name, rows in self._ended.items():
            table = self._table_of(name)
            assert table is not None
            kept, aside = table.to_arrow(rows, self.epoch)
            self.ready.parts.setdefault(name, []).append(Part(kept.num_rows, kept))
            if aside is not None:
                self.ready.aside.setdefault(name, []).append(Part(aside.num_rows, aside))
            self.ready.count += len(rows)
        self._ended = {}

    def _spool_open(self) -> None:
        for name, rows in self._open.items():
            table = self._table_of(name)
            if table is None or not len(rows):
                continue
            kept, aside = table.to_arrow(rows, self.epoch)
            self._spools.setdefault((name, False), _Spool(self._folder, name)).add(kept)
            if aside is not None:
                self._spools.setdefault((name, True), _Spool(self._folder, name)).add(aside)
        self._open.clear()

    def _forget_open(self) -> None:
        self._open.clear()
        for spool in self._spools.values():
            for part in spool.parts(0):
                part.drop()
        self._spools = {}
