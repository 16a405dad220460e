"""Results of cameras by MQTT: kept before they are acknowledged, and files that the feeds take."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from include.catalog import feeds
from include.errors import PayloadError
from include.land.file_open import Opened
from include.land.file_read import read_cells
from include.land.file_rows import parse
from include.ot.mqtt import Delivery, Subscriber
from include.packs.factorypack.camera_messages import EVERYTHING, USER, CameraMessages, read
from include.settings import ROOT
from stack import nats as stack_nats
from tests.ot.brokers import ACK_WAIT_S, Nats, eventually
from tests.ot.test_mqtt import publish

TOPIC = "vision/v1/cam-asm-30"


def message(n: int = 1, **more) -> bytes:
    image = {
        "inspection_id": f"I{n}", "camera_id": "K", "station_id": "ASM-30", "serial": f"U{n}", "verdict": "fail",
        "inspected_at": "2026-01-30T12:10:00.250Z", "confidence": 0.91, "camera_s_own": "left out",
        "defects": [{"defect_class": "scratch", "confidence": 0.5, "x_min_px": 10.25}, {"defect_class": "hole"}],
    }  # fmt: skip
    return json.dumps(image | more).encode()


def landed(inbox) -> dict[str, list[dict]]:
    """The rows of the inbox's files as the feeds take them, by feed."""
    found: dict[str, list[dict]] = {}
    for path in sorted(inbox.iterdir()):
        (feed,) = [one for one in feeds() if one.matches(path.name)]
        cells = read_cells(Opened(path.name, path.read_bytes(), "", False), feed)
        parsed = parse(cells, feed, {}, datetime(2026, 2, 1, tzinfo=UTC), feeds())
        assert parsed.rejected == []
        found.setdefault(feed.name, []).extend(parsed.rows.to_pylist())
    return found


def given(messages: CameraMessages, *payloads: bytes) -> list[bytes]:
    """Hand messages over; gives the list of those that are acknowledged, which grows."""
    acked: list[bytes] = []
    for payload in payloads:
        messages.take(Delivery(TOPIC, payload, lambda payload=payload: acked.append(payload)))
    return acked


def test_a_message_is_an_image_with_its_defects_to_the_last_digit():
    image, defects = read(message(confidence=0).replace(b'"confidence": 0,', b'"confidence": 0.10000000000000000001,'))

    assert image["confidence"] == "0.10000000000000000001" and "camera_s_own" not in image and image["product_id"] == ""
    assert [(d["inspection_id"], d["defect_number"], d["defect_class"]) for d in defects] == [
        ("I1", "1", "scratch"), ("I1", "2", "hole")
    ]  # fmt: skip
    assert read(message(defects=None))[1] == []


def test_the_message_of_the_how_to_is_the_row_of_its_file():
    page = (ROOT / "docs" / "how-to" / "feed-a-camera.md").read_text()
    (shown,) = re.findall(r"```json\n(.*?)```", page, flags=re.S)
    image, (defect,) = read(shown.encode())

    assert ",".join(image.values()).replace("2026-01-30T12:11:00Z", "2026-01-30 06:11:00") in page
    assert ",".join(defect.values()) in page


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "no JSON object"),
        (message(inspection_id=None), "inspection_id is missing"),
        (message(verdict=""), "verdict is missing"),
        (message(inspected_at="2026-01-30 12:10:00"), "must say its offset"),
        (message(inspected_at="yesterday"), "no ISO 8601 time"),
        (message(defects=[{"confidence": 1}]), "defect_class is missing"),
        (message(defects={"defect_class": "hole"}), "no list of objects"),
        (message(serial=["U1"]), "serial is no single value"),
    ],
)
def test_what_cannot_be_read_is_kept_with_its_reason_and_acknowledged(tmp_path, payload, said):
    with pytest.raises(PayloadError, match=said):
        read(payload)
    messages = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")

    assert given(messages, payload) == [payload]
    (kept,) = messages.refused.folder.glob("*.json")
    assert said in json.loads(kept.read_text())["reason"]


def test_a_message_is_acknowledged_once_it_is_on_disk_and_becomes_a_row_of_each_feed(tmp_path):
    messages = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
    acked = given(messages, message(1), message(2, defects=[], verdict="pass"))
    assert acked == []

    messages.turn()
    assert len(acked) == 2 and len(messages.path.read_bytes().splitlines()) == 2
    assert not (tmp_path / "inbox").exists()  # a minute is not over

    messages.turn(file_every_s=0)
    rows = landed(tmp_path / "inbox")
    assert [row["inspection_id"] for row in rows["vision_results"]] == ["I1", "I2"]
    assert rows["vision_results"][0]["inspected_at_utc"] == datetime(2026, 1, 30, 12, 10, 0, 250_000, UTC)
    boxes = [(row["defect_number"], row["x_min_px"]) for row in rows["vision_defects"]]
    assert boxes == [(1, Decimal("10.25")), (2, None)]
    assert not messages.path.exists()


def test_images_without_a_defect_make_no_file_of_defects(tmp_path):
    messages = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
    given(messages, message(1, defects=[], verdict="pass"))

    messages.turn(file_every_s=0)
    assert set(landed(tmp_path / "inbox")) == {"vision_results"}


def test_killed_it_goes_on_with_what_was_kept_and_without_half_a_line(tmp_path):
    first = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
    given(first, message(1))
    first.turn()
    with first.path.open("ab") as out:
        out.write(b'[{"inspection_id": "I2"')  # killed while it wrote

    second = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
    given(second, message(2))
    second.stop()

    assert [row["inspection_id"] for row in landed(tmp_path / "inbox")["vision_results"]] == ["I1", "I2"]


def test_where_the_disk_refuses_nothing_is_acknowledged(tmp_path, monkeypatch):
    messages = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
    monkeypatch.setattr("include.packs.factorypack.camera_messages.RETRY_S", 0)
    monkeypatch.setattr("include.packs.factorypack.camera_messages.os.fsync", _full)
    acked = given(messages, message(1))

    messages.turn()
    assert acked == [] and "No space left" in messages.problem and messages.path.read_bytes() == b""

    monkeypatch.undo()
    messages.turn(file_every_s=0)
    assert len(acked) == 1 and messages.problem is None
    assert len(landed(tmp_path / "inbox")["vision_results"]) == 1


def _full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.platform
def test_what_a_camera_sends_before_anyone_listens_lands_once(tmp_path):
    folder = tmp_path / "broker"
    broker = Nats(folder)
    stack_nats.make_session(folder, ACK_WAIT_S, has_cameras=True)
    broker._configuration = stack_nats.configure(folder, broker.port, broker.other_port, ack_wait_s=ACK_WAIT_S)
    broker.start()
    try:
        publish(broker.url, *(message(n) for n in range(50)), user="camera", topic=TOPIC)
        messages = CameraMessages(tmp_path / "cameras", tmp_path / "inbox")
        unheard: list[Delivery] = []  # taken by one that is killed before it acknowledges
        first = Subscriber(USER, USER, EVERYTHING, unheard.append, url=broker.url)
        first.start()
        eventually(lambda: len(unheard) == 50)
        first.stop()

        second = Subscriber(USER, USER, EVERYTHING, messages.take, url=broker.url)
        second.start()
        eventually(lambda: messages.turn() or messages.images >= 50, "the results come again")
        messages.stop()
        second.stop()
    finally:
        broker.stop()

    names = [row["inspection_id"] for row in landed(tmp_path / "inbox")["vision_results"]]
    assert set(names) == {f"I{n}" for n in range(50)}


@pytest.mark.platform
def test_a_camera_may_not_read_and_nobody_forges_its_results(broker):
    seen: list[Delivery] = []
    reader = Subscriber(USER, USER, EVERYTHING, seen.append, url=broker.url)
    spy = Subscriber("camera", "spy", EVERYTHING, seen.append, url=broker.url)
    for one in (reader, spy):
        one.start()
    eventually(lambda: reader.is_connected)
    publish(broker.url, b"forged", user="bridge", topic=TOPIC)
    publish(broker.url, b"forged", user=USER, topic=TOPIC)
    publish(broker.url, b"genuine", user="camera", topic=TOPIC)
    eventually(lambda: seen)
    reader.stop()
    spy.stop()

    assert [delivery.payload for delivery in seen] == [b"genuine"]
