"""The simulated plant's camera: the same from every process, and its files are those that the feeds take."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from demo import plant_vision
from demo.plant import deliver, fill
from demo.plant_line import SEED
from demo.plant_mes import Plant, tables
from include.catalog import feeds
from include.land.file_open import Opened
from include.land.file_read import read_cells
from include.land.file_rows import parse

DAY = date(2026, 10, 30)
NOON = datetime(2026, 10, 30, 18, tzinfo=UTC)
PLANT = Plant(SEED, DAY)


def landed(path):
    (feed,) = [one for one in feeds() if one.matches(path.name)]
    opened = Opened(path.name, path.read_bytes(), "", False)
    return feed.name, parse(read_cells(opened, feed), feed, {}, NOON, feeds())


def test_every_unit_is_looked_at_once_and_a_reworked_one_twice():
    serials = tables(PLANT, NOON + timedelta(days=2))["serials"].to_pylist()
    made = {row["serial"]: row["status"] for row in serials if row["made_at"].date() <= date(2026, 10, 31)}
    looks = Counter(image.inspection_id.rsplit("-", 1)[0] for image in plant_vision.images(DAY, SEED))

    assert looks == {
        f"{plant_vision.CAMERA}-{serial}": 2 if made[serial] == "rework" else 1
        for serial in made
        if f"{plant_vision.CAMERA}-{serial}" in looks
    }
    assert len(looks) > 300 and set(looks.values()) == {1, 2}


def test_the_files_hold_each_image_once_and_land_whole(tmp_path):
    begun = NOON - timedelta(hours=6)
    early = plant_vision.drop(begun, NOON, PLANT, tmp_path / "early")
    late = plant_vision.drop(NOON, NOON + timedelta(hours=6), PLANT, tmp_path / "late")
    whole = plant_vision.drop(begun, NOON + timedelta(hours=6), PLANT, tmp_path / "whole")

    rows = {}
    for paths in (early, late, whole):
        for name, found in map(landed, paths):
            assert found.rejected == []
            rows.setdefault(name, []).append(found.rows)
    for name, (first, second, both) in rows.items():
        assert first.num_rows + second.num_rows == both.num_rows > 5, name
    images = rows["vision_results"][2]
    assert set(rows["vision_defects"][2]["inspection_id"].to_pylist()) < set(images["inspection_id"].to_pylist())
    assert min(images["inspected_at_utc"].to_pylist()) > begun
    assert plant_vision.drop(begun, begun + timedelta(seconds=1), PLANT, tmp_path / "none") == []


def test_the_truth_of_a_shift_is_what_its_images_and_people_say():
    early, late, night = plant_vision.by_shift(DAY, DAY, SEED).to_pylist()
    images = plant_vision.images(DAY, SEED)

    assert [row["shift_id"] for row in (early, late, night)] == [f"{DAY}.{n}" for n in (1, 2, 3)]
    escapes = [image for image in images if image.is_escape]
    assert len(escapes) >= early["escapes_found"] + late["escapes_found"] + night["escapes_found"] > 0
    assert all(image.verdict == "pass" and image.result != "pass" for image in escapes)
    assert early["images"] == len([i for i in images if i.inspected_at < datetime(2026, 10, 30, 19, tzinfo=UTC)])


def test_the_camera_grows_less_sure_until_its_lens_is_cleaned():
    """3 thousandths a day for 27 days are 0.081; the mean of a day's images is known to a thousandth or two."""
    days = [DAY + timedelta(days=n) for n in range(29)]
    cleaned = next(day for day in days if day.toordinal() % plant_vision.CLEANED_EVERY_DAYS == 0)

    def mean(day):
        found = [image.confidence for image in plant_vision.images(day, SEED)]
        return sum(found) / len(found)

    before, after = (mean(cleaned + timedelta(days=n)) for n in (27, 28))
    assert abs(after - before - 0.081) < 0.01


@pytest.mark.platform
def test_results_are_dropped_each_once_every_quarter_of_an_hour(field_database, tmp_path):
    """All of the past at first; then what came since, up to the last full quarter of the plant's clock."""
    fill(field_database, PLANT, NOON)
    late = NOON + timedelta(minutes=44, seconds=59)

    first = deliver(field_database, PLANT, NOON, tmp_path / "a")
    again = deliver(field_database, PLANT, NOON + timedelta(minutes=14), tmp_path / "b")
    later = deliver(field_database, PLANT, late, tmp_path / "c")

    assert later[-1].name == f"vision_results_{plant_vision.CAMERA}_20261030T183000Z.csv" and again == []
    rows = [
        found.rows["inspected_at_utc"].to_pylist() for name, found in map(landed, [*first, *later]) if "res" in name
    ]
    past, since = rows
    assert max(past) <= NOON < min(since)
    begun = datetime(2026, 10, 30, 11, tzinfo=UTC)
    assert len(past + since) == len(list(plant_vision.between(begun, NOON + timedelta(minutes=30), SEED, DAY)))
