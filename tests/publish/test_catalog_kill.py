"""The catalog is killed in mid-publish, again and again, while a plain SQL reader compares wells with fields.

The catalog applies a publish table by table, so a killed one leaves a part of it; recovery must leave none. While
recovery is due the platform does not count as healthy, and the reader is told so. One SQL statement loads its
tables one after the other, a few milliseconds apart: a publish may fall in between. So the reader looks twice, and
only a difference that is still there counts.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import duckdb
import pytest

from include import lakehouse
from include.ops.store import read
from include.publish.intent import open_intents
from include.publish.recover import recover
from stack.leftovers import recorded
from tests.publish import tiny

pytestmark = pytest.mark.platform
DAY = "2026-11-05"
SUMS = """
    select
        (select sum(oil_sm3) from lakehouse.tinypack.fct_well_daily where calendar = '{site}'),
        (select sum(oil_sm3) from lakehouse.tinypack.fct_field_daily where calendar = '{site}'),
        (select sum(oil_sm3) from lakehouse.tinypack.fct_field_monthly where calendar = '{site}')
"""


@dataclass
class Reader:
    """Loops over the sums of wells, fields and months while `is_healthy` is set."""

    site: str
    is_healthy: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    reads: int = 0
    passing: int = 0  # differences that the second look no longer saw
    standing: list = field(default_factory=list)

    def loop(self) -> None:
        con = lakehouse.connect()
        while not self.over.is_set():
            if not self.is_healthy.is_set():
                time.sleep(0.02)
                continue
            first = self.look(con)
            if first and self.is_healthy.is_set() and (second := self.look(con)):
                if self.is_healthy.is_set():
                    self.standing.append((first, second))
            elif first:
                self.passing += 1

    def look(self, con: duckdb.DuckDBPyConnection) -> tuple | None:
        try:
            sums = con.execute(SUMS.format(site=self.site)).fetchone()
        except duckdb.Error:  # killed in mid-read
            return None
        self.reads += 1
        return sums if len(set(sums)) > 1 else None


def kill_catalog() -> None:
    for pid in recorded("seaweedfs").members():
        os.kill(pid, signal.SIGKILL)


def await_catalog() -> None:
    deadline, said = time.monotonic() + 90, None
    while time.monotonic() < deadline:
        try:
            lakehouse.table("tinypack.fct_well_daily").scan().to_arrow()
            lakehouse.table("ops.publishes").scan().to_arrow()
            return
        except Exception as error:  # whatever the client says while it is down
            said = error
            time.sleep(0.1)
    raise AssertionError(f"the catalog did not come back: {said!r}")


def publish_killed(site: str, folder, reader: Reader, delay_s: float) -> str:
    """Publish one more version and kill the catalog that long after the commit was sent; give the run."""
    close = tiny.close_days(site, DAY)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.publish.crashing",
        str(folder),
        close.run_id,
        "tell-when-posting",
    ]
    publisher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert publisher.stdout.readline().strip() == "posting"
    reader.is_healthy.clear()
    time.sleep(delay_s)
    kill_catalog()
    await_catalog()
    publisher.wait(180)
    recover()
    assert not open_intents(tiny.PACK)
    reader.is_healthy.set()
    return close.run_id


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.torture)])
def test_no_half_publish_stays_visible(site, tinypack, kills):
    ids = tiny.land(site, {("A-1", DAY): "1", ("A-2", DAY): "20", ("B-1", DAY): "7.25"})
    from include.publish.publish import publish

    publish(tiny.close_days(site, DAY))
    reader = Reader(site)
    thread = threading.Thread(target=reader.loop)
    thread.start()
    reader.is_healthy.set()
    chance, runs = random.Random(7), []
    try:
        for n in range(kills):
            tiny.land(site, {("A-1", DAY): str(n + 2)}, ids)
            runs.append(publish_killed(site, tinypack, reader, chance.uniform(0, 0.05)))
            assert tiny.published("fct_field_daily", site)[0][2] == f"{n + 22}.000000"
    finally:
        reader.over.set()
        thread.join()

    print(f"{reader.reads} reads, {reader.passing} of them between two tables of a publish")
    assert reader.standing == [] and reader.reads > 0
    assert [len(read("closes", run_id=run, state="published")) for run in runs] == [1] * kills
    assert len(read("restatements", calendar=site)) == 3 * kills
