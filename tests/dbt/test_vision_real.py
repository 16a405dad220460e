"""Defects of real circuit boards and steel plates through the feeds of cameras, against counts made by pyarrow alone.

The records know no time and no good unit: images are spread over two shifts, and a board's template, which is a board
without defects, counts as one that passed.
"""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv
import pytest

from tests.dbt.factory_lake import Lake
from tests.dbt.test_factory_real import csv_of, empty_mes, land, of_plant

pytestmark = pytest.mark.platform  # needs none, but it builds the pack
STARTS = datetime(2026, 1, 30, 12, tzinfo=UTC)  # 06:00 Central
STEP = timedelta(seconds=20)  # 2,058 images in 11 h 26 min, two shifts
PLATE_FAULTS = {
    "Pastry": "Pastry_Fault", "Z_Scratch": "Z_Scratch_Fault", "K_Scratch": "K_Scatch_Fault", "Stains": "Stains_Fault",
    "Dirtiness": "Dirtiness_Fault", "Bumps": "Bumps_Fault", "Other": "Other_Faults",
}  # fmt: skip
BOX = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")


def image(inspection_id: str, n: int, product: str, verdict: str) -> dict[str, Any]:
    return {
        "inspection_id": inspection_id,
        "camera_id": f"CAM-{product}",
        "station_id": f"ST-{product}",
        "product_id": product,
        "inspected_at": (STARTS + n * STEP).isoformat(),
        "verdict": verdict,
        "image_uri": f"images/{inspection_id}.jpg",
        "model_version": "public",
    }


def boards() -> tuple[list[dict], list[dict]]:
    """A template that passes and an image that fails for each of DeepPCB's, with its boxes."""
    with (of_plant("deeppcb_defects") / "deeppcb_annotations.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = []
    for n, name in enumerate(dict.fromkeys(row["image"] for row in rows)):
        found += [image(f"{name}_temp", 2 * n, "PCB", "pass"), image(name, 2 * n + 1, "PCB", "fail")]
    nth: Counter[str] = Counter()
    boxes = []
    for row in rows:
        nth[row["image"]] += 1
        edges = dict(zip(BOX, (row["x1"], row["y1"], row["x2"], row["y2"]), strict=True))
        boxes.append(
            {
                "inspection_id": row["image"],
                "defect_number": nth[row["image"]],
                "defect_class": row["defect_type"],
                **edges,
            }
        )
    return found, boxes


def plates() -> tuple[list[dict], list[dict]]:
    """An image that fails for each of the plates' faults, which have no box of an image: theirs is of the plate."""
    with (of_plant("steel_plates_faults") / "steel_plates_faults.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    found, boxes = [], []
    for n, row in enumerate(rows):
        name = f"plate-{n}"
        (kind,) = [kind for kind, column in PLATE_FAULTS.items() if row[column] == "1"]
        found.append(image(name, n, "PLATE", "FAIL"))
        edges = dict(zip(BOX, (row["X_Minimum"], row["Y_Minimum"], row["X_Maximum"], row["Y_Maximum"]), strict=True))
        boxes.append({"inspection_id": name, "defect_number": 1, "defect_class": kind, **edges})
    return found, boxes


def test_defects_of_boards_and_plates_are_counted_by_class(tmp_path):
    board_images, board_boxes = boards()
    plate_images, plate_boxes = plates()
    lake = Lake(tmp_path)
    empty_mes(lake)
    cameras = [
        {"station_id": f"ST-{p}", "line_id": p, "vocabulary": "line", "is_pacing": True} for p in ("PCB", "PLATE")
    ]
    land(lake, "stations_file_cameras.csv", csv_of(cameras))
    assert land(lake, "vision_results_public.csv", csv_of(board_images + plate_images)).rejected == []
    assert land(lake, "vision_defects_public.csv", csv_of(board_boxes + plate_boxes)).rejected == []

    con = lake.close("2026-01-30.1", "2026-01-30.2")

    counted = dict(
        con.sql(
            "select (product_id, defect_class), sum(defects) from fct_vision_defect_shift "
            "group by all having sum(defects) > 0"
        ).fetchall()
    )
    annotations = pyarrow.csv.read_csv(of_plant("deeppcb_defects") / "deeppcb_annotations.csv")
    faults = pyarrow.csv.read_csv(of_plant("steel_plates_faults") / "steel_plates_faults.csv")
    expected = {
        ("PCB", one["values"].as_py()): one["counts"].as_py() for one in pc.value_counts(annotations["defect_type"])
    }
    expected |= {("PLATE", kind): pc.sum(faults[column]).as_py() for kind, column in PLATE_FAULTS.items()}
    assert counted == expected
    assert sum(counted.values()) == annotations.num_rows + faults.num_rows == 6666 + 1941

    by_product = con.sql(
        "select product_id, sum(inspections), sum(inspected_units), sum(passed_units), count(distinct shift_id) "
        "from fct_vision_hour group by all order by all"
    ).fetchall()
    assert by_product == [("PCB", 2058, 2058, 1029, 2), ("PLATE", 1941, 1941, 0, 2)]
    shares = con.sql(
        "select shift_id, product_id, sum(share), max(cumulative_share) from fct_vision_defect_shift group by all"
    ).fetchall()
    assert all(abs(total - 1) < Decimal("0.00001") and last == 1 for *_, total, last in shares)

    widths = pc.sum(pc.subtract(annotations["x2"], annotations["x1"])).as_py()
    drawn = con.sql("select sum(x_max_px - x_min_px) from fct_vision_defect where product_id = 'PCB'").fetchone()[0]
    assert drawn == widths
