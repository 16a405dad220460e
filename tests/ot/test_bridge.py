"""A bridge: what its client puts arrives once, what it could not see is told as a gap, its dictionary may change."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from include.errors import DeclarationError, OtError
from include.ot import bridge as bridge_module
from include.ot import mqtt
from include.ot import tags as dictionary
from include.ot.bridge import OVERLAP, Bridge
from include.ot.mqtt import RECORDER, Subscriber
from include.ot.outbox import Outbox
from include.ot.reading import GOOD, Message, Sample, decode
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.topics import EVERYTHING
from include.settings import ROOT, settings
from tests.ot.brokers import DEADLINE_S, eventually
from tests.ot.fake_plant import BATCH, write_seed

pytestmark = pytest.mark.platform  # each starts servers of its own

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Hand:
    """A client that a trial works by hand."""

    has_history = True

    def __init__(self, source: Source, sink) -> None:
        self.sink, self.taken = sink, []

    async def run(self, tags: Sequence[Tag]) -> None:
        self.taken.append(len(tags))
        await asyncio.Event().wait()

    async def retag(self, tags: Sequence[Tag]) -> None:
        self.taken.append(len(tags))


@pytest.fixture
def seeds(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(dictionary, "SEEDS", tmp_path / "seeds")
    monkeypatch.setattr(bridge_module, "TICK_S", 0.02)
    monkeypatch.setattr(mqtt, "RETRY_S", (0.05, 0.05))
    return tmp_path / "seeds"


@pytest.fixture
def source(seeds) -> Source:
    name = f"plant_{uuid4().hex[:8]}"
    write_seed(seeds, name, count=3)
    return Source(name, "fake", "fake://")


@contextlib.asynccontextmanager
async def running(source: Source, client=Hand):
    bridge = Bridge(source, client)
    job = asyncio.create_task(bridge.run())
    await until(lambda: bridge.client.taken or job.done())
    yield bridge
    job.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await job


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def sample(source: Source, value, tag: int = 0, at: datetime = NOON) -> Sample:
    return Sample(f"{source.name}.t{tag}", value, GOOD, at, at, at)


def waiting(source: Source) -> list[Message]:
    """What a bridge that has ended left in its outbox."""
    outbox = Outbox(settings.ot_dir / source.name, source.name, 10)
    found = [decode(payload) for _, _, payload in outbox.unsent(0, 10_000)]
    outbox.close()
    return found


def gaps(source: Source) -> dict[str, tuple[str, ...]]:
    return {gap.cause: gap.tag_ids for message in waiting(source) for gap in message.gaps}


def texts(source: Source) -> list[str | None]:
    return [reading.value_text for message in waiting(source) for reading in message.readings]


def health(source: Source) -> dict:
    with contextlib.suppress(OSError):
        return json.loads((settings.ot_dir / source.name / "health.json").read_text())
    return {}


def test_what_a_client_puts_is_kept_while_no_broker_answers(source):
    async def trial():
        async with running(source) as bridge:
            bridge.put([sample(source, "a"), sample(source, "a"), sample(source, "b")])

    asyncio.run(trial())

    assert texts(source) == ["a", "b"]


def test_repetitions_are_known_across_restarts(source):
    async def trial(*values):
        async with running(source) as bridge:
            bridge.put([sample(source, value) for value in values])

    asyncio.run(trial("a", "b"))
    asyncio.run(trial("b", "c"))

    assert texts(source) == ["a", "b", "c"]
    assert [reading.sequence for message in waiting(source) for reading in message.readings] == [0, 1, 2]


def test_a_sample_that_cannot_be_used_is_counted_and_stops_no_other(source):
    naive = datetime(2026, 5, 1)

    async def trial():
        async with running(source) as bridge:
            bridge.put([sample(source, "a"), sample(source, "b", tag=99), sample(source, "c", 1, naive)])
            bridge.put([sample(source, "d", tag=2)])
            await until(lambda: health(source).get("counts", {}).get("refused") == 2)
            assert "naive" in health(source)["problems"]["sample"]

    asyncio.run(trial())

    assert texts(source) == ["a", "d"]


def test_the_time_in_which_a_bridge_did_not_run_is_told_once_it_sees_again(source):
    async def first():
        async with running(source) as bridge:
            bridge.state(True, {})
            await until(lambda: bridge.outbox.active_at)

    async def second():
        async with running(source) as bridge:
            assert bridge.outbox.active_at == stopped_at
            bridge.state(False, {})
            bridge.state(True, {})
            bridge.state(True, {})

    asyncio.run(first())
    outbox = Outbox(settings.ot_dir / source.name, source.name, 10)
    stopped_at = outbox.active_at
    outbox.close()
    asyncio.run(second())

    told = [gap for message in waiting(source) for gap in message.gaps if gap.cause == "bridge_stopped"]
    assert [(gap.from_at, len(gap.tag_ids)) for gap in told] == [(stopped_at - OVERLAP, 3)]
    assert told[0].to_at > stopped_at


def test_a_source_that_was_away_when_the_bridge_stopped_counts_as_unseen_since_then(source):
    async def trial():
        async with running(source) as bridge:
            bridge.state(True, {})
            await until(lambda: bridge.outbox.active_at)
            told = bridge.outbox.number
            bridge.state(False, {})
            bridge.put([sample(source, "a")])
            await until(lambda: bridge.outbox.number == told + 1)
            seen = bridge.outbox.active_at
            bridge.put([sample(source, "b")])
            await until(lambda: bridge.outbox.number == told + 2)
            assert bridge.outbox.active_at == seen

    asyncio.run(trial())


def test_history_is_asked_for_tags_that_are_new_and_only_then(source, seeds):
    async def trial():
        async with running(source) as bridge:
            bridge.state(True, {})

    asyncio.run(trial())
    (told,) = [gap for message in waiting(source) for gap in message.gaps]
    assert (told.cause, len(told.tag_ids)) == ("first_seen", 3)
    assert told.to_at - told.from_at == timedelta(hours=settings.ot.history_hours)

    write_seed(seeds, source.name, count=4)
    asyncio.run(trial())
    assert gaps(source)["first_seen"] == (f"{source.name}.t3",)

    count = len(waiting(source))
    asyncio.run(trial())
    assert [gap.cause for message in waiting(source)[count:] for gap in message.gaps] == ["bridge_stopped"]


def test_no_history_is_asked_of_a_client_that_has_none(source):
    class Forgetful(Hand):
        has_history = False

    async def trial(client):
        async with running(source, client) as bridge:
            bridge.state(True, {})

    asyncio.run(trial(Forgetful))
    assert gaps(source) == {}
    asyncio.run(trial(Hand))
    assert "first_seen" not in gaps(source)


def test_a_changed_dictionary_is_taken_over_without_a_restart(source, seeds):
    async def trial():
        async with running(source) as bridge:
            bridge.state(True, {})
            write_seed(seeds, source.name, count=5)
            await until(lambda: bridge.client.taken == [3, 5])
            bridge.put([sample(source, "new", tag=4)])
            write_seed(seeds, source.name, count=2)
            await until(lambda: bridge.client.taken == [3, 5, 2])
            await until(lambda: health(source).get("tags") == 2)

    asyncio.run(trial())

    assert texts(source) == ["new"]
    told = [gap.tag_ids for message in waiting(source) for gap in message.gaps if gap.cause == "first_seen"]
    assert told == [tuple(f"{source.name}.t{n}" for n in (0, 1, 2)), tuple(f"{source.name}.t{n}" for n in (3, 4))]


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("nonsense\n"), Path.unlink], ids=["nonsense", "gone"])
def test_a_dictionary_that_cannot_be_used_changes_nothing_and_is_told(source, seeds, spoil):
    path = seeds / "plant" / "plant_tags.csv"

    async def trial():
        async with running(source) as bridge:
            spoil(path)
            await until(lambda: str(seeds) in health(source).get("problems", {}).get("dictionary", ""))
            bridge.put([sample(source, "a", tag=2)])
            write_seed(seeds, source.name, count=3)
            await until(lambda: health(source).get("problems") == {})
            assert bridge.client.taken == [3]

    asyncio.run(trial())

    assert texts(source) == ["a"]


def test_a_disk_that_takes_nothing_for_a_while_loses_nothing(source):
    async def trial():
        async with running(source) as bridge:
            pages = bridge.outbox._db.execute("pragma page_count").fetchone()[0]
            bridge.outbox._db.execute(f"pragma max_page_count = {pages}")
            bridge.put([sample(source, f"{n} {'x' * 1_000}", at=NOON + timedelta(seconds=n)) for n in range(50)])
            await until(lambda: "full" in health(source).get("problems", {}).get("outbox", ""))
            bridge.put([sample(source, "last", at=NOON + timedelta(minutes=2))])
            bridge.outbox._db.execute("pragma max_page_count = 1000000")
            await until(lambda: bridge.counts["readings"] == 51 and not bridge.problems)

    asyncio.run(trial())

    assert [text.split()[0] for text in texts(source)] == [*map(str, range(50)), "last"]


def test_an_acknowledgement_waits_until_the_disk_has_what_it_is_for(source):
    async def trial():
        async with running(source) as bridge:
            told = []
            pages = bridge.outbox._db.execute("pragma page_count").fetchone()[0]
            bridge.outbox._db.execute(f"pragma max_page_count = {pages}")
            bridge.put([sample(source, "x" * 20_000)])
            bridge.written(lambda: told.append(bridge.outbox.number))
            await until(lambda: "outbox" in bridge.problems)
            assert told == []
            bridge.outbox._db.execute("pragma max_page_count = 1000000")
            await until(lambda: told == [1])

    asyncio.run(trial())


def test_a_client_that_fails_ends_the_bridge_with_all_it_has_put(source):
    class Failing(Hand):
        async def run(self, tags):
            self.taken.append(len(tags))
            self.sink.put([sample(source, "a")])
            raise OSError("the wire is cut")

    with pytest.raises(OSError, match="the wire is cut"):
        asyncio.run(Bridge(source, Failing).run())

    assert texts(source) == ["a"]


def test_a_client_that_ends_by_itself_is_an_error(source):
    class Lazy(Hand):
        async def run(self, tags):
            return None

    with pytest.raises(OtError, match="client of plant_.* has ended by itself"):
        asyncio.run(Bridge(source, Lazy).run())


def test_a_topic_level_that_is_none_is_refused(source):
    with pytest.raises(DeclarationError, match="topic is 'field'"):
        Bridge(Source(source.name, "fake", "", {"topic": "field"}), Hand)


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "include.ot.bridge", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_line_says_what_may_be_asked():
    assert "field_rtu, field_scada" in run("--help").stdout
    assert "No OT source 'nowhere' is declared" in run("nowhere").stderr
    refused = run("plant_lines")
    assert "publishes by itself" in refused.stderr
    assert refused.returncode == 1


# Killed


class Bridged:
    """A bridge process of the made-up plant, killed and started again, and a recorder that keeps what arrives."""

    def __init__(self, folder: Path, url: str) -> None:
        self.source = Source(f"plant_{uuid4().hex[:8]}", "fake", "")
        self.folder, self.url = folder, url
        self.messages: list[Message] = []
        self.process: subprocess.Popen | None = None
        folder.mkdir()
        write_seed(folder, self.source.name)
        self.recorder = Subscriber(RECORDER, RECORDER, EVERYTHING, self.take, url=url)
        self.recorder.start()

    def take(self, delivery) -> None:
        self.messages.append(decode(delivery.payload))
        delivery.ack()

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.ot.fake_plant", self.source.name, str(self.folder)],
                cwd=ROOT,
                env={**os.environ, "HNAI_OT__BROKER_URL": self.url, "HNAI_OT__FLUSH_S": "0.05"},
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(DEADLINE_S)

    def put(self, life: int) -> int:
        """How many samples a life has handed to its bridge."""
        path = self.folder / "lives" / str(life)
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return int(lines[-1]) if lines else 0

    def check(self, lives: int) -> None:
        """Every message once, every life's samples in order and without a hole, and every stop told."""
        by_number: dict[tuple[str, int], Message] = {}
        for message in self.messages:
            assert by_number.setdefault((message.store, message.number), message) == message
        assert len({store for store, _ in by_number}) == 1
        assert sorted(number for _, number in by_number) == list(range(1, len(by_number) + 1))
        arrived: dict[int, list[int]] = {life: [] for life in range(lives)}
        keys = []
        for message in by_number.values():
            for reading in message.readings:
                life, count = map(int, reading.value_text.split())
                arrived[life].append(count)
                keys.append((reading.tag_id, reading.observed_at, reading.sequence))
        assert len(keys) == len(set(keys))
        for life, counts in arrived.items():
            assert sorted(counts) == list(range(len(counts)))
            assert len(counts) <= self.put(life) + BATCH
            assert len(counts) > 0
        stops = {gap.gap_id for message in by_number.values() for gap in message.gaps if gap.cause == "bridge_stopped"}
        assert len(stops) == lives - 1


def test_a_bridge_that_is_killed_again_and_again_loses_and_doubles_no_message(nats, tmp_path):
    bridged, chance, lives = Bridged(tmp_path / "plant", nats.url), random.Random(4), 6

    for life in range(lives):
        bridged.start()
        at = chance.randint(5, 40) * BATCH
        eventually(lambda life=life, at=at: bridged.put(life) >= at, "the plant runs")
        if life == 2:
            nats.kill()
            eventually(lambda life=life, at=at: bridged.put(life) >= 2 * at, "it goes on without a broker")
        if life == 3:
            nats.start()
        bridged.end(signal.SIGTERM if life == lives - 1 else signal.SIGKILL)

    last = Outbox(settings.ot_dir / bridged.source.name, bridged.source.name, 10)
    count, unsent = last.number, last.waiting
    last.close()
    bridged.start()  # sends what the outbox still holds
    eventually(lambda: len({message.number for message in bridged.messages}) >= count, f"{unsent} messages follow")
    eventually(lambda: bridged.put(lives) > 0)
    bridged.end(signal.SIGTERM)
    bridged.start()
    eventually(lambda: bridged.put(lives + 1) > BATCH)
    eventually(lambda: any(r.value_text.startswith(f"{lives + 1} ") for m in bridged.messages for r in m.readings))
    bridged.end(signal.SIGTERM)
    bridged.recorder.stop()

    bridged.check(lives + 2)
