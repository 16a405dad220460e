"""The outbox: what was written is sent under its number until the broker has it, whatever is killed or full."""

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.errors import OtError
from include.ot import outbox as outbox_module
from include.ot.outbox import Outbox
from include.ot.reading import GOOD, Message, Reading, Sample, decode, gap
from include.ot.tags import Tag
from include.settings import ROOT

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TAG = Tag("W1.pressure", "hnai/field/pad/w1/pressure", "W1", "pressure", "scada", "", "double", "psi")
TOPIC = "ot/v1/hnai/field/pad"


def sample(value: float, observed_at: datetime = NOON) -> Sample:
    return Sample(TAG.tag_id, value, GOOD, observed_at, None, observed_at)


def reading(value: float, observed_at: datetime = NOON) -> Reading:
    return Reading(TAG.tag_id, value, None, None, GOOD, observed_at, "source", None, observed_at, 0, "psi")


def text(length: int) -> Reading:
    return Reading(TAG.tag_id, None, "x" * length, None, GOOD, NOON, "source", None, NOON, 0, "psi")


def put(outbox: Outbox, *values: float) -> None:
    outbox.add([(TOPIC, reading(value)) for value in values])


def unsent(outbox: Outbox) -> list[Message]:
    return [decode(payload) for _, _, payload in outbox.unsent(0, 10_000)]


def acknowledge(outbox: Outbox, *numbers: int) -> None:
    for number, _, payload in outbox.unsent(0, 10_000):
        if number in numbers:
            outbox.done(number, len(payload))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "scada"


def opened(folder: Path, limit_mb: float = 10) -> Outbox:
    return Outbox(folder, "scada", limit_mb)


def killed(outbox: Outbox) -> None:
    """What a kill leaves: nothing written on the way out."""
    outbox._db.close()
    outbox._lock.close()


def test_messages_count_up_from_one_and_never_again_from_there(folder):
    outbox = opened(folder)
    put(outbox, 1)
    put(outbox, 2)
    acknowledge(outbox, 1, 2)
    outbox.close()
    again = opened(folder)
    put(again, 3)

    assert [message.number for message in unsent(again)] == [3]
    assert again.store == outbox.store
    again.close()


def test_what_was_written_outlives_a_kill_and_what_was_acknowledged_is_gone(folder):
    outbox = opened(folder)
    for value in (1, 2, 3):
        put(outbox, value)
    acknowledge(outbox, 2)
    put(outbox, 4)
    killed(outbox)
    again = opened(folder)

    assert [(message.number, message.readings[0].value_double) for message in unsent(again)] == [(1, 1), (3, 3), (4, 4)]
    assert again.waiting == 3
    killed(again)


def test_an_acknowledgement_that_was_not_written_sends_the_same_message_again(folder):
    outbox = opened(folder)
    put(outbox, 1)
    (before,) = unsent(outbox)
    acknowledge(outbox, 1)
    killed(outbox)

    again = opened(folder)

    assert unsent(again) == [before]
    killed(again)


@pytest.mark.parametrize("checkpoint", [1, 10**9])
def test_ordinals_go_on_after_a_kill_though_every_message_is_acknowledged(folder, monkeypatch, checkpoint):
    monkeypatch.setattr(outbox_module, "CHECKPOINT", checkpoint)
    outbox = opened(folder)
    for value in (1, 2):
        outbox.add([(TOPIC, outbox.sequencer.of(sample(value), TAG))])
        acknowledge(outbox, 1, 2)
    outbox.add()
    killed(outbox)
    again = opened(folder)

    assert again.sequencer.of(sample(2), TAG) is None
    assert again.sequencer.of(sample(3), TAG).sequence == 2
    assert unsent(again) == []
    killed(again)


def test_acknowledged_messages_leave_the_disk_at_the_next_checkpoint(folder, monkeypatch):
    outbox = opened(folder)
    put(outbox, *range(3))
    acknowledge(outbox, 1)
    outbox.close()

    with sqlite3.connect(folder / "outbox.db") as database:
        assert database.execute("select count(*) from messages").fetchone() == (0,)


def test_a_message_holds_one_topic_and_a_bounded_number_of_readings(folder):
    outbox = opened(folder)
    readings = [(TOPIC, reading(value)) for value in range(outbox_module.MAX_READINGS + 1)]
    outbox.add([*readings, ("ot/v1/hnai/other", reading(7))])

    assert [(topic, len(decode(payload).readings)) for _, topic, payload in outbox.unsent(0, 10)] == [
        (TOPIC, outbox_module.MAX_READINGS),
        (TOPIC, 1),
        ("ot/v1/hnai/other", 1),
    ]
    killed(outbox)


def test_long_texts_are_spread_over_messages_in_order(folder):
    outbox = opened(folder, limit_mb=100)
    texts = [text(30_000 + number) for number in range(100)]
    outbox.add([(TOPIC, one) for one in texts])

    messages = outbox.unsent(0, 1_000)

    assert all(len(payload) <= outbox_module.MAX_PAYLOAD for _, _, payload in messages)
    assert [one for _, _, payload in messages for one in decode(payload).readings] == texts
    killed(outbox)


def test_a_gap_of_many_tags_is_told_in_parts_under_one_id(folder):
    outbox = opened(folder)
    tag_ids = [f"tag-{number}" for number in range(outbox_module.MAX_TAGS + 1)]
    outbox.add(gaps=[gap("scada", tag_ids, NOON, NOON + SECOND, "bridge_stopped")])

    told = [one for message in unsent(outbox) for one in message.gaps]

    assert [tag_id for one in told for tag_id in one.tag_ids] == tag_ids
    assert len({one.gap_id for one in told}) == 1
    assert outbox.unsent(0, 1)[0][1] == "ot/v1/gaps/scada"
    killed(outbox)


def test_a_full_outbox_drops_readings_and_tells_the_gap_once_there_is_room(folder):
    outbox = opened(folder, limit_mb=0.01)
    outbox.add(tags=["W1.pressure", "W2.pressure"])
    number = 0
    while outbox.add([(TOPIC, reading(number, NOON + number * SECOND))]):
        number += 1
    assert outbox.is_full
    assert not outbox.add([(TOPIC, reading(0, NOON + (number + 1) * SECOND))])
    killed(outbox)

    outbox = opened(folder, limit_mb=0.01)  # it remembers
    assert outbox.is_full
    acknowledge(outbox, *range(1, number + 1))
    assert outbox.add([(TOPIC, reading(99, NOON + 99 * SECOND))])
    assert not outbox.is_full
    kept, told = unsent(outbox)

    assert [one.value_double for one in kept.readings] == [99]
    assert [(one.cause, one.from_at, one.tag_ids) for one in told.gaps] == [
        ("outbox_full", NOON + number * SECOND, ("W1.pressure", "W2.pressure"))
    ]
    assert told.gaps[0].to_at > datetime.now(UTC) - timedelta(minutes=1)
    killed(outbox)


def test_gaps_are_kept_though_the_outbox_is_full(folder):
    outbox = opened(folder, limit_mb=0.001)
    put(outbox, *range(20))
    assert not outbox.add([(TOPIC, reading(1))], [gap("scada", ["t"], NOON, NOON + SECOND, "connection_lost")])

    assert [one.cause for message in unsent(outbox) for one in message.gaps] == ["connection_lost"]
    killed(outbox)


def test_a_disk_that_is_full_takes_nothing_and_loses_nothing(folder):
    outbox = opened(folder)
    put(outbox, 1)
    acknowledge(outbox, 1)
    pages = outbox._db.execute("pragma page_count").fetchone()[0]
    outbox._db.execute(f"pragma max_page_count = {pages}")

    with pytest.raises(OtError, match=r"outbox\.db.*full"):
        outbox.add([(TOPIC, text(30_000))], tags=["a"])
    assert (outbox.number, outbox.waiting, outbox.known_tags()) == (1, 0, set())

    outbox._db.execute("pragma max_page_count = 100000")
    outbox.add([(TOPIC, text(30_000))])
    assert [message.number for message in unsent(outbox)] == [2]
    killed(outbox)


def test_only_one_process_writes_an_outbox(folder):
    outbox = opened(folder)
    other = (
        "from pathlib import Path; from include.ot.outbox import Outbox; import sys; Outbox(Path(sys.argv[1]), 's', 1)"
    )

    ended = subprocess.run([sys.executable, "-c", other, str(folder)], cwd=ROOT, capture_output=True, text=True)

    assert "is writing the outbox" in ended.stderr
    assert f"Process {os.getpid()} " in ended.stderr
    outbox.close()
    assert subprocess.run([sys.executable, "-c", other, str(folder)], cwd=ROOT).returncode == 0


def test_a_damaged_outbox_is_put_aside_and_a_new_one_begins(folder):
    outbox = opened(folder)
    put(outbox, 1)
    outbox.close()
    (folder / "health.json").write_text('{"outbox": {"oldest_at": "2026-05-01T12:00:00+00:00"}}')
    for path in folder.glob("outbox.db*"):
        path.write_bytes(b"no database at all, " * 500)

    again = opened(folder)

    assert again.damaged_since == NOON
    assert again.store != outbox.store
    assert [path.name for path in folder.glob("damaged-*/outbox.db")] == ["outbox.db"]
    put(again, 2)
    assert [message.number for message in unsent(again)] == [1]
    again.close()


def test_an_outbox_of_a_later_version_is_left_alone(folder):
    opened(folder).close()
    with sqlite3.connect(folder / "outbox.db") as database:
        database.execute("pragma user_version = 2")
    database.close()

    with pytest.raises(OtError, match="later version"):
        opened(folder)


def test_it_remembers_until_when_all_was_seen_and_of_which_tags(folder):
    outbox = opened(folder)
    assert outbox.active_at is None
    outbox.add(active_at=NOON, tags=["a", "b"])
    outbox.add(tags=["b", "c"])
    killed(outbox)
    again = opened(folder)

    assert again.active_at == NOON
    assert again.known_tags() == {"b", "c"}
    killed(again)


def test_nothing_waits_in_an_empty_outbox(folder):
    outbox = opened(folder)

    assert (outbox.waiting, outbox.waiting_bytes, outbox.oldest_at, outbox.unsent(0, 10)) == (0, 0, None, [])
    outbox.close()
