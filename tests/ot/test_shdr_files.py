"""Adapter logs as a source: every line once, whatever the files do and whenever the bridge is killed."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from include.errors import DeclarationError, OtError
from include.ot.outbox import Outbox
from include.ot.reading import BAD_NO_DATA, GOOD, decode
from include.ot.shdr_files import ShdrFilesClient, read_once
from include.ot.sources import Source
from include.settings import ROOT, settings
from tests.ot.listening import PATIENCE_S, Listener, running, tag

FAST = {"scan_s": 0.01, "settle_s": 3600}
STILL = {"settle_s": 0}
LOAD = tag("load", "Xload")


def line(second: int, value: object, key: str = "Xload") -> str:
    return f"2026-03-01T12:{second // 60:02}:{second % 60:02}Z|{key}|{value}\n"


def lines(*numbers: int) -> str:
    return "".join(line(n, n) for n in numbers)


class Logs:
    """A folder of logs, and a source that watches it. Each `look` is a client of its own, as after a new start."""

    def __init__(self, folder: Path, **options) -> None:
        self.folder = folder
        self.name = f"logs_{uuid4().hex}"
        self.options = FAST | options

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)

    @property
    def source(self) -> Source:
        return Source(self.name, "shdr_files", self.folder.as_uri(), self.options)

    def look(self, *tags, until=None, then=None) -> Listener:
        """Read until the condition holds, or until all is read; `then` is called in between."""

        async def run() -> Listener:
            listener = Listener()
            client = ShdrFilesClient(self.source, listener)
            async with running(client, tags or [LOAD]):
                await _all_read(client, listener)
                if then is not None:
                    then()
                    await _all_read(client, listener)
                if until is not None:
                    await listener.until(until)
            return listener

        return asyncio.run(run())


async def _all_read(client: ShdrFilesClient, listener: Listener) -> None:
    """Wait until two looks in a row, begun from now on, have found nothing."""
    for _ in range(2):
        scanned = client.scans
        await listener.until(lambda _, scanned=scanned: client.scans > scanned + 1)


@pytest.fixture
def logs(tmp_path) -> Logs:
    return Logs(tmp_path / "logs")


def numbers(listener: Listener) -> list[int]:
    return [int(value) for value in listener.values("load")]


def test_each_line_of_each_file_is_read_once_however_often_the_bridge_starts(logs):
    logs.write("b.txt", lines(3, 4))
    logs.write("a.txt", lines(1, 2))
    logs.write("devices.xml", "<no log/>")
    logs.write(".hidden.txt", lines(9))

    assert numbers(logs.look()) == [1, 2, 3, 4]
    assert numbers(logs.look()) == []
    logs.write("c.log", lines(5))
    assert numbers(logs.look()) == [5]


def test_a_file_that_grows_is_read_on_at_whole_lines(logs):
    logs.write("a.txt", lines(1) + line(2, 2)[:-5])

    assert numbers(logs.look()) == [1]
    logs.append("a.txt", line(2, 2)[-5:] + lines(3))
    assert numbers(logs.look(then=lambda: logs.append("a.txt", lines(4)))) == [2, 3, 4]
    assert numbers(logs.look()) == []


def test_the_last_line_may_lack_its_end_once_the_file_is_still(tmp_path):
    logs = Logs(tmp_path / "logs", **STILL)
    logs.write("a.txt", lines(1) + lines(2).rstrip("\n"))

    assert numbers(logs.look()) == [1, 2]
    assert numbers(logs.look()) == []


def test_a_log_that_is_rotated_is_read_on_and_not_again(logs):
    logs.write("adapter.log", lines(*range(1, 50)))

    def rotate():
        logs.append("adapter.log", lines(50, 51))
        (logs.folder / "adapter.log").rename(logs.folder / "adapter.log.1")
        logs.write("adapter.log", lines(52, 53))

    assert numbers(logs.look(then=rotate)) == list(range(1, 54))
    assert numbers(logs.look()) == []


def test_a_log_that_is_rotated_while_the_bridge_is_stopped_is_read_on(logs):
    logs.write("adapter.log", lines(*range(1, 50)))
    logs.look()
    logs.append("adapter.log", lines(50))
    (logs.folder / "adapter.log").rename(logs.folder / "adapter.log.1")
    logs.write("adapter.log", lines(51))

    assert sorted(numbers(logs.look())) == [50, 51]


def test_a_copy_of_a_log_is_not_read_again_and_one_of_another_device_is(tmp_path):
    logs = Logs(tmp_path / "logs", by_device=True)
    logs.write("m1/a.txt", lines(1, 2))
    logs.look(tag("load", "m1:Xload"))
    shutil.copy(logs.folder / "m1" / "a.txt", logs.folder / "m1" / "copy.txt")
    logs.write("m2/a.txt", lines(1, 2))

    found = logs.look(tag("one", "m1:Xload"), tag("two", "M2:Xload"))
    assert (found.values("one"), found.values("two")) == ([], ["1", "2"])


def test_a_log_that_is_written_anew_is_read_from_its_start(logs):
    logs.write("a.txt", lines(*range(1, 20)))
    logs.look()
    logs.write("a.txt", lines(30, 31))

    assert numbers(logs.look()) == [30, 31]
    logs.write("a.txt", lines(*range(40, 90)))  # longer than what was read of it
    assert numbers(logs.look()) == list(range(40, 90))


def test_two_days_that_begin_with_the_same_state_are_both_read(logs):
    dump = lines(0)
    logs.write("day-1.txt", dump + lines(1, 2))
    logs.write("day-2.txt", dump + lines(3))

    found = numbers(logs.look())
    assert sorted(set(found)) == [0, 1, 2, 3]
    assert found.count(1) == found.count(2) == found.count(3) == 1


def test_lines_that_cannot_be_read_are_counted_and_take_no_other_with_them(logs):
    logs.write("a.txt", lines(1) + "rubbish\n\0\xff|\n" + lines(2) + line(3, "UNAVAILABLE"))

    found = logs.look()
    assert [(s.value, s.quality) for s in found.samples] == [("1", GOOD), ("2", GOOD), (None, BAD_NO_DATA)]
    assert found.detail["lines"]["refused"] == 2
    assert found.detail["refused"] == {"a time that is none": 2}


def test_a_file_without_line_ends_does_not_fill_the_memory_or_stop_the_others(logs):
    logs.write("a.txt", "x" * (3 * 2**20))
    logs.write("b.txt", lines(1))

    found = logs.look()
    assert numbers(found) == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_told_and_read_once_it_may(logs):
    path = logs.write("a.txt", lines(1))
    logs.write("b.txt", lines(2))
    path.chmod(0)

    found = logs.look()
    assert numbers(found) == [2]
    assert "a.txt" in found.detail["files_in_error"]
    path.chmod(0o600)
    assert numbers(logs.look()) == [1]


def test_a_folder_that_is_away_is_told_and_no_machine_is_said_to_be_dead(logs):
    found = logs.look(
        then=lambda: logs.write("a.txt", lines(1)),
        until=lambda told: told.is_connected,
    )

    assert numbers(found) == [1]
    assert found.gaps == []


def test_a_piece_that_could_not_be_kept_is_read_again(logs):
    """A bridge that is killed between two pieces: what it did not remember comes again, in the same order."""
    logs.write("a.txt", lines(1, 2))

    async def killed_early() -> None:
        class Full(Listener):
            async def settle(self):
                await asyncio.Event().wait()  # the disk takes nothing

        listener = Full()
        async with running(ShdrFilesClient(logs.source, listener), [LOAD]):
            await listener.until(lambda told: told.samples)

    asyncio.run(killed_early())
    assert numbers(logs.look()) == [1, 2]


def test_the_latest_values_of_a_folder(logs):
    logs.write("b.txt", lines(1, 5))
    logs.write("c.txt", lines(3))

    assert [(s.value, s.quality) for s in asyncio.run(read_once(logs.source, [LOAD, tag("lost")]))] == [
        ("5", GOOD),
        (None, BAD_NO_DATA),
    ]
    shutil.rmtree(logs.folder)
    with pytest.raises(OtError, match="Check url and rights"):
        asyncio.run(read_once(logs.source, [LOAD]))


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("", {}, "must be a folder"),
        ("file://host/folder", {}, "must be a folder"),
        ("http://host/folder", {}, "must be a folder"),
        ("/logs", {"patterns": "*.txt"}, "patterns must be a list"),
        ("/logs", {"by_device": "yes"}, "by_device 'yes' is neither true nor false"),
        ("/logs", {"scan_s": -1}, "scan_s -1 is no number of seconds"),
        ("/logs", {"pattern": ["*.txt"]}, "pattern is no option"),
    ],
)
def test_a_source_that_cannot_be_used_is_told(url, options, why):
    with pytest.raises(DeclarationError, match=f"^logs.yaml: .*{why}"):
        ShdrFilesClient(Source("logs", "shdr_files", url, options), Listener())


# A bridge that is killed

BRIDGE = """
import asyncio, sys
from include.ot import tags as dictionary
from include.ot.bridge import Bridge
from include.ot.sources import Source
from tests.ot.listening import tag

dictionary.tags = lambda source=None: (tag("load", "Xload"),)
dictionary.fingerprint = lambda: ()
asyncio.run(Bridge(Source(sys.argv[1], "shdr_files", sys.argv[2], {"scan_s": 0.05, "settle_s": 0})).run())
"""
LINES, FILES, KILLS = 60_000, 4, 3


def millisecond(n: int) -> str:
    return f"2026-03-01T12:{n // 60_000:02}:{n // 1000 % 60:02}.{n % 1000:03}Z|Xload|{n}\n"


@pytest.mark.platform
def test_a_bridge_that_is_killed_while_it_reads_loses_no_line(tmp_path):
    logs = Logs(tmp_path / "logs")
    for number in range(FILES):
        part = range(number * LINES // FILES, (number + 1) * LINES // FILES)
        logs.write(f"day-{number}.txt", "".join(map(millisecond, part)))
    size = sum(path.stat().st_size for path in logs.folder.iterdir())
    script = tmp_path / "bridge.py"
    script.write_text(BRIDGE)
    nobody = "mqtt://127.0.0.1:9"  # so that all of it stays in the outbox
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HNAI_OT__BROKER_URL": nobody}

    for kill in range(KILLS + 1):
        before = bytes_read(logs.name)
        bridge = subprocess.Popen([sys.executable, script, logs.name, str(logs.folder)], cwd=ROOT, env=environment)
        wanted = before + 1 if kill < KILLS else size
        wait_until(lambda bridge=bridge, wanted=wanted: bytes_read(logs.name) >= wanted or bridge.poll() is not None)
        bridge.kill()
        assert bridge.wait() == -signal.SIGKILL

    outbox = Outbox(settings.ot_dir / logs.name, logs.name, 1024)
    messages = [decode(payload) for _, _, payload in outbox.unsent(0, 10**6)]
    outbox.close()
    found = {(r.observed_at, r.sequence, r.value_double) for message in messages for r in message.readings}
    assert {value for _, _, value in found} == set(map(float, range(LINES)))
    assert len(found) == LINES  # what was read twice has its key and value again
    assert not any(message.gaps for message in messages)  # nothing is missing, so nothing is told to be


def bytes_read(name: str) -> int:
    path = settings.ot_dir / name / "files.db"
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute("select coalesce(sum(bytes), 0) from files").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
