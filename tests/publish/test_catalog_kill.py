"""The catalog is killed in mid-publish, again and again, while a plain SQL reader compares wells, fields and months.

The catalog applies a publish table by table, so a killed one leaves a part of it; recovery must leave none. From
the kill until recovery is through, the platform does not count as healthy.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from include import lakehouse
from include.ops.store import read
from include.publish.intent import open_intents
from include.publish.publish import publish
from include.publish.recover import recover
from stack.leftovers import recorded
from tests.publish import tiny
from tests.publish.plain_reader import PlainReader

pytestmark = pytest.mark.platform
DAY = "2026-11-05"
SUMS = """
    select
        (select sum(oil_sm3) from lakehouse.tinypack.fct_well_daily where calendar = '{site}'),
        (select sum(oil_sm3) from lakehouse.tinypack.fct_field_daily where calendar = '{site}'),
        (select sum(oil_sm3) from lakehouse.tinypack.fct_field_monthly where calendar = '{site}')
"""


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


def publish_killed(site: str, folder, delay_s: float) -> tuple[str, tuple[float, float]]:
    """Publish one more version and kill the catalog that long after the commit was sent.

    Gives the run and the span during which the platform was not healthy.
    """
    close = tiny.close_days(site, DAY)
    command = [sys.executable, "-W", "ignore", "-m", "tests.publish.crashing"]
    command += [str(folder), close.run_id, "tell-when-posting"]
    publisher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert publisher.stdout.readline().strip() == "posting"
    killed_at = time.time()
    time.sleep(delay_s)
    for pid in recorded("seaweedfs").members():
        os.kill(pid, signal.SIGKILL)
    await_catalog()
    publisher.wait(180)
    recover()
    assert not open_intents(tiny.PACK)
    return close.run_id, (killed_at, time.time())


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.torture)])
def test_no_half_publish_stays_visible(site, tinypack, kills):
    ids = tiny.land(site, {("A-1", DAY): "1", ("A-2", DAY): "20", ("B-1", DAY): "7.25"})
    publish(tiny.close_days(site, DAY))
    reader, chance, runs, unhealthy = PlainReader(SUMS.format(site=site)), random.Random(7), [], []
    reader.start()
    try:
        for n in range(kills):
            tiny.land(site, {("A-1", DAY): str(n + 2)}, ids)
            run_id, span = publish_killed(site, tinypack, chance.uniform(0, 0.05))
            runs.append(run_id)
            unhealthy.append(span)
            assert tiny.published("fct_field_daily", site)[0][2] == f"{n + 22}.000000"
    finally:
        reader.stop()

    assert reader.differences(unhealthy) == [] and reader.answers()
    assert [len(read("closes", run_id=run, state="published")) for run in runs] == [1] * kills
    assert len(read("restatements", calendar=site)) == 3 * kills
