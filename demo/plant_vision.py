"""The camera of the simulated plant: it looks at every unit of the assembly line before its last station.

Pure functions of seed and day, as the machines are. The camera misses some of the units that people fail or send to
rework afterwards (an escape), fails some that they pass (a false reject), cannot read every serial number, and grows
less sure from day to day until its lens is cleaned, every fourth week. Its results leave it as two kinds of files.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from demo import plant_calendar, plant_mes
from demo.plant_calendar import ONE_DAY
from demo.plant_line import LINES

LINE = next(line for line in LINES if line.line_id == plant_mes.SERIAL_LINE)
STATION, CAMERA = LINE.stations[2], f"CAM-{LINE.stations[2]}"
MODEL_VERSION = "2026.1"
CLASSES = ("scratch", "seal_displaced", "screw_missing")
ESCAPE_SHARE, FALSE_REJECT_SHARE, NO_READ_SHARE = 0.08, 0.01, 0.005
CLEANED_EVERY_DAYS, LOSS_PER_DAY = 28, 0.003  # of confidence
WIDTH_PX, HEIGHT_PX = 1280, 1024
RESULT_COLUMNS = (
    "inspection_id", "camera_id", "station_id", "product_id", "serial", "inspected_at", "verdict", "confidence",
    "image_uri", "model_version",
)  # fmt: skip
DEFECT_COLUMNS = (
    "inspection_id", "defect_number", "defect_class", "confidence", "x_min_px", "y_min_px", "x_max_px", "y_max_px",
)  # fmt: skip


@dataclass(frozen=True)
class Defect:
    defect_class: str
    confidence: float
    box: tuple[int, int, int, int]  # x and y of the upper left and of the lower right corner, in pixels


@dataclass(frozen=True)
class Image:
    """One look of the camera at a unit, and what people say of the unit when they look next."""

    inspection_id: str
    product_id: str
    serial: str | None  # as read
    inspected_at: datetime
    verdict: str
    confidence: float
    defects: tuple[Defect, ...]
    reviewed_at: datetime
    result: str

    @property
    def is_escape(self) -> bool:
        return self.serial is not None and self.verdict == "pass" and self.result != "pass"

    @property
    def is_false_reject(self) -> bool:
        return self.serial is not None and self.verdict == "fail" and self.result == "pass"


@lru_cache(maxsize=8)
def images(day: date, seed: int) -> tuple[Image, ...]:
    """The images of the units of a plant day, in order of time; those of reworked units may be of the next day."""
    random = np.random.default_rng([seed, 500, day.toordinal()])
    sure = 0.97 - LOSS_PER_DAY * (day.toordinal() % CLEANED_EVERY_DAYS)
    found = []
    for order, n, made_at, cycle, row in plant_mes.units_made(LINE, day, seed):
        looks = [(made_at - cycle, made_at, ("pass", "fail", "rework")[row])]
        if row == 2:
            again = made_at + timedelta(hours=2)
            looks.append((again - timedelta(minutes=2), again, "pass"))
        for nth, (left_at, reviewed_at, result) in enumerate(looks, start=1):
            is_bad = result != "pass"
            is_failed = random.random() < (1 - ESCAPE_SHARE if is_bad else FALSE_REJECT_SHARE)
            serial = plant_mes.serial_of(order, n)
            found.append(
                Image(
                    inspection_id=f"{CAMERA}-{serial}-{nth}",
                    product_id=order.product_id,
                    serial=None if random.random() < NO_READ_SHARE else serial,
                    inspected_at=left_at - timedelta(seconds=5),
                    verdict="fail" if is_failed else "pass",
                    confidence=_confidence(random, sure),
                    defects=tuple(_defects(random, sure)) if is_failed else (),
                    reviewed_at=reviewed_at,
                    result=result,
                )
            )
    return tuple(sorted(found, key=lambda image: (image.inspected_at, image.inspection_id)))


def _defects(random: np.random.Generator, sure: float) -> Iterator[Defect]:
    for _ in range(1 + (random.random() < 0.2)):
        x, y = int(random.integers(0, WIDTH_PX - 200)), int(random.integers(0, HEIGHT_PX - 200))
        width, height = (int(length) for length in random.integers(8, 200, 2))
        kind = str(random.choice(CLASSES, p=(0.6, 0.3, 0.1)))
        yield Defect(kind, _confidence(random, sure - 0.05), (x, y, x + width, y + height))


def _confidence(random: np.random.Generator, sure: float) -> float:
    return round(float(np.clip(random.normal(sure, 0.02), 0, 1)), 4)


def between(after: datetime, until: datetime, seed: int, first: date) -> Iterator[Image]:
    """The images taken after one instant, up to another, of units that were made on the plant day `first` or later."""
    day = max(first, plant_calendar.plant_day(after) - ONE_DAY)
    while day <= plant_calendar.plant_day(until) + ONE_DAY:  # a unit that is made early was looked at the day before
        yield from (image for image in images(day, seed) if after < image.inspected_at <= until)
        day += ONE_DAY


def drop(after: datetime, until: datetime, plant: plant_mes.Plant, inbox: Path) -> list[Path]:
    """Put the results of these images into the inbox, a file of each kind; none where nothing was taken, or found."""
    found = list(between(after, until, plant.seed, plant.start))
    name = f"{CAMERA}_{until.astimezone(UTC):%Y%m%dT%H%M%SZ}.csv"
    kinds = {
        f"vision_defects_{name}": (DEFECT_COLUMNS, list(_defect_rows(found))),
        f"vision_results_{name}": (RESULT_COLUMNS, list(_result_rows(found))),
    }
    inbox.mkdir(parents=True, exist_ok=True)
    written = []
    for file, (columns, rows) in kinds.items():
        if not rows:
            continue  # a file without rows is none to its feed
        half = inbox / f".{file}.part"
        half.write_text(_csv(columns, rows))
        written.append(half.replace(inbox / file))
    return written


def _result_rows(found: Iterable[Image]) -> Iterator[tuple]:
    for image in found:
        at = image.inspected_at.astimezone(UTC)
        uri = f"file:///cameras/{CAMERA}/{at:%Y/%m/%d}/{image.inspection_id}.png"
        yield (
            image.inspection_id, CAMERA, STATION, image.product_id, image.serial or "", f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
            image.verdict, image.confidence, uri, MODEL_VERSION,
        )  # fmt: skip


def _defect_rows(found: Iterable[Image]) -> Iterator[tuple]:
    for image in found:
        for n, one in enumerate(image.defects, start=1):
            yield (image.inspection_id, n, one.defect_class, one.confidence, *one.box)


def _csv(columns: tuple[str, ...], rows: Iterable[tuple]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def by_shift(first: date, last: date, seed: int, as_of: datetime | None = None) -> pa.Table:
    """What was true of the camera by shift that has ended: images by verdict, and what people found of it in the shift.

    Images and findings belong to the shift that ends next; those before the first shift to none.
    """
    days = [first + n * ONE_DAY for n in range((last - first).days + 1)]
    shifts = [one for day in days for one in plant_calendar.shifts(day) if not as_of or one.ends_at <= as_of]
    every = [image for day in [*days, last + ONE_DAY] for image in images(day, seed)]
    rows, begun = [], None
    for shift in shifts:
        begun = begun or plant_calendar.calendar().periods.last_ended(shift.starts_at).ends_at
        taken = [image for image in every if begun <= image.inspected_at < shift.ends_at]
        looked_at = [image for image in every if begun <= image.reviewed_at < shift.ends_at]
        rows.append(
            {
                "shift_id": shift.name,
                "camera_id": CAMERA,
                "images": len(taken),
                "failed_images": sum(image.verdict == "fail" for image in taken),
                "defects": sum(len(image.defects) for image in taken),
                "escapes_found": sum(image.is_escape for image in looked_at),
                "false_rejects_found": sum(image.is_false_reject for image in looked_at),
                "mean_confidence": float(np.mean([image.confidence for image in taken])) if taken else None,
            }
        )
        begun = shift.ends_at
    return pa.Table.from_pylist(rows)
