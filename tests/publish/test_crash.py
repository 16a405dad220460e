"""A publish that is cut off at any instant leaves nothing half visible once `recover` has run."""

import os
import signal
import subprocess
import sys
import time

import pytest

from include import lakehouse
from include.errors import LakehouseError, LeaseLost
from include.ops.lease import hold
from include.ops.store import read
from include.publish.intent import open_intents
from include.publish.publish import publish
from include.publish.recover import recover
from tests.publish import tiny

pytestmark = pytest.mark.platform
DAY = "2026-11-05"
THREE_WELLS = {("A-1", DAY): "10.5", ("A-2", DAY): "20", ("B-1", DAY): "7.25"}
CORRECTED = [
    ("fct_field_daily", "30.500000", "31.000000"),
    ("fct_field_monthly", "30.500000", "31.000000"),
    ("fct_well_daily", "10.500000", "11.000000"),
]


def start(folder, close, where: str, try_number: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.publish.crashing", str(folder), close.run_id, where, str(try_number)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def second_version(site: str):
    """A published day, corrected at the source, and the close that is to publish the correction."""
    ids = tiny.land(site, THREE_WELLS)
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("A-1", DAY): "11"}, ids)
    return tiny.close_days(site, DAY)


def oil(site: str) -> tuple[str, str, str]:
    """ALPHA's oil as the sum of its wells, as its day and as its month."""
    wells = [row for row in tiny.published("fct_well_daily", site) if row[1] == "ALPHA"]
    day = next(row for row in tiny.published("fct_field_daily", site) if row[0] == "ALPHA")
    month = next(row for row in tiny.published("fct_field_monthly", site) if row[0] == "ALPHA")
    return f"{sum(float(row[3]) for row in wells):.6f}", day[2], month[2]


def is_sealed_once(close) -> bool:
    sealed = read("closes", run_id=close.run_id, state="published")
    restated = [(r["table_name"], r["old_value"], r["new_value"]) for r in read("restatements", run_id=close.run_id)]
    return len(sealed) == 1 and restated == CORRECTED and not open_intents(close.pack)


@pytest.mark.parametrize("where", ["before-commit", "half-commit", "after-commit", "before-seal"])
def test_killed_there_recover_completes_it(site, tinypack, where):
    close = second_version(site)
    process = start(tinypack, close, where)
    assert process.wait(60) == -signal.SIGKILL, process.stderr.read()

    (line,) = recover()

    assert "completed and sealed, 3 restatements" in line
    assert oil(site) == ("31.000000",) * 3
    assert is_sealed_once(close)
    assert recover() == []


def test_a_retry_after_a_kill_completes_what_the_first_try_began(site, tinypack):
    close = second_version(site)
    start(tinypack, close, "half-commit").wait(60)

    again = publish(close, try_number=2)

    assert again.publish_id is None  # settling the open intent was all there was to do
    assert oil(site) == ("31.000000",) * 3
    assert is_sealed_once(close)


def test_an_unanswered_commit_is_recognised(site, monkeypatch):
    close = second_version(site)
    real = lakehouse.post_commit

    def lost_answer(requests, before_commit=None):
        real(requests, before_commit)
        raise LakehouseError("the answer was lost")

    monkeypatch.setattr(lakehouse, "post_commit", lost_answer)
    publish(close)

    assert oil(site) == ("31.000000",) * 3
    assert is_sealed_once(close)


def test_another_writer_that_was_first_is_not_overwritten(site, monkeypatch):
    close = second_version(site)
    real, tries = lakehouse.post_commit, []

    def late(requests, before_commit=None):
        tries.append(len(requests))
        if len(tries) == 1:  # somebody adds a row of another calendar in between
            lakehouse.append("tinypack.dim_well", row_of("elsewhere"))
            lakehouse.append("tinypack.fct_well_daily", well_row_of("elsewhere"))
        real(requests, before_commit)

    monkeypatch.setattr(lakehouse, "post_commit", late)
    publish(close)

    assert len(tries) == 2
    assert oil(site) == ("31.000000",) * 3
    assert is_sealed_once(close)
    assert tiny.published("dim_well", "elsewhere")
    assert [r["state"] for r in read("publishes", run_id=close.run_id)] == ["intent", "void", "intent", "sealed"]


@pytest.mark.parametrize("first_time", [False, True], ids=["second version", "first version"])
def test_half_of_it_is_set_back_where_the_rest_cannot_get_in(site, monkeypatch, first_time):
    if first_time:
        tiny.land(site, THREE_WELLS)
        close, shown = tiny.close_days(site, DAY), []
    else:
        close, shown = second_version(site), tiny.published("fct_field_daily", site)
    real, posts = lakehouse.post_commit, []

    def half(requests, before_commit=None):
        posts.append(requests)
        if len(posts) == 1:  # the catalog dies after fct_field_daily; meanwhile a stranger writes to the wells
            real({name: r for name, r in requests.items() if name == "tinypack.fct_field_daily"})
            lakehouse.append("tinypack.fct_well_daily", well_row_of("elsewhere"))
            assert tiny.published("fct_field_daily", site) != shown
            raise LakehouseError("no answer")
        if len(posts) == 2:
            real(requests)
            assert tiny.published("fct_field_daily", site) == shown  # set back
            raise KeyboardInterrupt
        real(requests, before_commit)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lakehouse, "post_commit", half)
        publish(close)

    assert recover() and not open_intents(close.pack)
    assert tiny.published("fct_field_daily", site) == shown
    publish(close, try_number=2)
    assert tiny.published("fct_field_daily", site) != shown


def test_the_older_copy_of_a_task_cannot_publish_beside_its_retry(site, tinypack):
    close = second_version(site)
    older = start(tinypack, close, "stopped-before-commit")
    wait_until_stopped(older)
    assert open_intents(close.pack)

    publish(close, try_number=2)
    os.kill(older.pid, signal.SIGCONT)

    assert older.wait(60) == 1
    assert "LeaseLost" in older.stderr.read()
    assert oil(site) == ("31.000000",) * 3
    assert is_sealed_once(close)


def test_a_lease_is_taken_over_only_by_a_later_try_or_after_its_holder_died(lake_platform):
    with hold("a", "run", 1) as first:
        with pytest.raises(LeaseLost, match="is held by 'run', try 1"), hold("a", "other", wait_s=0.3):
            pass
        with hold("a", "run", 2) as second:
            second.still_held()
            with pytest.raises(LeaseLost, match="taken over"):
                first.still_held()
    with pytest.raises(LeaseLost, match="Try 2 of 'run' has taken over"), hold("a", "run", 1):
        pass
    dead = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from include.ops.lease import hold\nwith hold('a', 'dying'): print(flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    dead.stdout.readline()
    dead.kill()
    dead.wait()
    with hold("a", "heir", wait_s=5) as lease:
        assert lease.fence > second.fence


def row_of(calendar: str):
    import pyarrow as pa

    return pa.table({"calendar": [calendar], "well_id": ["X-1"], "field_code": ["ALPHA"]})


def well_row_of(calendar: str):
    from datetime import date
    from decimal import Decimal

    import pyarrow as pa

    return pa.table(
        {
            "calendar": [calendar],
            "well_id": ["X-1"],
            "field_code": ["ALPHA"],
            "production_date": [date(2026, 11, 5)],
            "oil_sm3": [Decimal(1)],
        }
    )


def wait_until_stopped(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            return
        time.sleep(0.1)
    raise AssertionError("the process did not stop")
