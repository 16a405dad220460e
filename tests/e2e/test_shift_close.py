"""The shift close on the whole platform: MES by change data capture, machines by an export, OEE as it was."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from demo import plant_calendar, plant_truth
from demo.plant import fill, first_day, history, mes_dsn
from demo.plant_line import SEED
from demo.plant_mes import Plant
from include.catalog import calendar
from tests.e2e.conftest import ANSWER_S, Site, eventually

pytestmark = [pytest.mark.platform, pytest.mark.e2e]

CALENDAR = "riverside"
DAG = f"factorypack_shift_close_{CALENDAR}"
DURATIONS = {
    "pot_s": "planned_operation_time_s",
    "pbt_s": "planned_busy_time_s",
    "no_data_s": "no_data_s",
    "apt_s": "actual_production_time_s",
    "aust_s": "actual_setup_time_s",
    "adet_s": "actual_delay_time_s",
    "adot_s": "actual_down_time_s",
}
COUNTS = ("good_units", "scrap_units", "rework_units", "micro_stops")


@dataclass
class Shop:
    site: Site
    first: str  # the first and the last of the closed shifts
    last: str

    def source(self, sql: str, *values: Any) -> list[tuple]:
        with psycopg.connect(mes_dsn()) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def land(self) -> None:
        run_id = self.site.airflow.trigger("land_mes")
        assert self.site.finish(run_id, "land_mes") == "success", self.site.airflow.tasks("land_mes", run_id)

    def close(self, first: str, last: str, reason: str) -> str:
        """The state in which the run ends."""
        params = {"from_shift": first, "to_shift": last, "reason": reason, "accept": []}
        self.run_id = self.site.airflow.trigger(DAG, params)
        return self.site.finish(self.run_id, DAG)

    def failed(self) -> list[str]:
        return [task.task_id for task in self.site.airflow.tasks(DAG, self.run_id) if task.state == "failed"]

    def published(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(shift, station) -> its row."""
        columns = ["shift_id", "station_id", *DURATIONS, *COUNTS, "oee"]
        rows = self.site.lake(
            f"select {', '.join(columns)} from lakehouse.factorypack.fct_oee_station_shift where calendar = ?", CALENDAR
        )
        return {row[:2]: dict(zip(columns, row, strict=True)) for row in rows}

    def versions(self) -> dict[str, int]:
        return dict(
            self.site.lake(
                "select split_part(close_key, '@', 1), max(version) from lakehouse.ops.closes "
                "where calendar = ? and state = 'published' group by 1",
                CALENDAR,
            )
        )


@pytest.fixture(scope="module")
def shop(site) -> Shop:
    """Some days of the plant, their shifts closed as one range."""
    now = datetime.now(UTC)
    shifts = calendar(CALENDAR).periods
    last = shifts.last_ended(now - timedelta(minutes=5))
    plant = Plant(SEED, first_day(now, 4))
    fill(mes_dsn(), plant, now)
    history(now)
    site.airflow.wait_for([DAG, "land_mes"])
    first = shifts.after(plant_calendar.starts_at(plant.start + timedelta(days=1)))  # a holiday has none
    found = Shop(site, first.name, last.name)
    found.land()
    assert found.close(found.first, found.last, "first close") == "success", found.failed()
    return found


def test_every_shift_of_every_station_is_what_was_true(shop):
    days = [datetime.fromisoformat(name.partition(".")[0]).date() for name in (shop.first, shop.last)]
    truth = {
        (row["shift_id"], row["station_id"]): row
        for row in plant_truth.by_shift(*days).to_pylist()
        if shop.first <= row["shift_id"] <= shop.last
    }
    published = shop.published()

    assert published.keys() == truth.keys() and len(truth) >= 6 * 12
    for key, row in published.items():
        for column, true in DURATIONS.items():
            assert row[column] == truth[key][true], (key, column)
        assert [int(row[name]) for name in COUNTS[:3]] == [truth[key][name] for name in COUNTS[:3]], key
        if truth[key]["oee"] is not None:
            assert float(row["oee"]) == pytest.approx(truth[key]["oee"], abs=1e-5), key


def test_publishing_starts_the_scoring_of_the_drives(shop):
    """Each hour of evidence has a score of each of the five methods and of their vote, once."""

    def scored() -> tuple[int, int] | None:
        from include.lakehouse import exists

        if not exists("condition.asset_scores"):
            return None
        return shop.site.lake(
            "select count(*), count(distinct (station_id, hour_started_at, method)) "
            "from lakehouse.condition.asset_scores"
        )[0]

    ((evidence,),) = shop.site.lake("select count(*) from lakehouse.factorypack.fct_asset_hour where is_evidence")
    assert evidence > 100

    eventually(lambda: scored() == (6 * evidence, 6 * evidence), ANSWER_S)

    again = shop.site.airflow.trigger("factorypack_score")
    assert shop.site.finish(again, "factorypack_score") == "success"
    assert scored() == (6 * evidence, 6 * evidence)
    said = {"alert_id": "MCH-10@20200101T0000Z", "word": "acknowledged", "reason": "no such alert"}
    assert shop.site.finish(shop.site.airflow.trigger("factorypack_score", said), "factorypack_score") == "failed"


def test_a_reason_that_is_corrected_afterwards_restates_its_shift_alone(shop):
    ((station_id, started_at, ended_at, shift_id, reason),) = shop.site.lake(
        "select station_id, started_at, ended_at, shift_id, reason_code "
        "from lakehouse.factorypack.fct_station_state "
        "where category = 'delay' and not is_micro_stop and shift_id > ? and shift_id < ? "
        "order by duration_s desc limit 1",
        shop.first,
        shop.last,
    )
    other = "T40" if reason != "T40" else "L10"
    before, versions = shop.published(), shop.versions()
    shop.source(
        "insert into manual_corrections "
        "values ('CO-E2E', %s, %s, %s, 'reason', %s, 'seen on the video', 'J. Novak', now())",
        station_id,
        started_at,
        ended_at,
        other,
    )
    shop.land()

    assert shop.close(shift_id, shift_id, "the reason was wrong") == "success", shop.failed()

    assert shop.versions() == {**versions, shift_id: versions[shift_id] + 1}
    assert shop.published() == before  # a reason moves no time
    restated = shop.site.lake(
        "select distinct table_name, cause from lakehouse.ops.restatements where close_key = ? and version = ?",
        f"{shift_id}@{CALENDAR}",
        versions[shift_id] + 1,
    )
    assert {table for table, _ in restated} <= {"fct_station_state", "fct_downtime_shift"}
    assert any("CO-E2E" in cause for _, cause in restated), restated
    (now,) = shop.site.lake(
        "select distinct reason_code from lakehouse.factorypack.fct_station_state "
        "where station_id = ? and started_at = ?",
        station_id,
        started_at,
    )
    assert now == (other,)


def test_counts_by_hand_that_are_three_percent_off_stop_the_close(shop):
    before, versions = shop.published(), shop.versions()
    day, _, shift = shop.last.partition(".")
    biased = "update manual_counts set good_units = (good_units * %s)::int where shift_date = %s and shift = %s"
    counted = "select count_id, good_units from manual_counts where shift_date = %s and shift = %s"
    kept = shop.source(counted, day, shift)
    shop.source(biased, 1.03, day, shift)
    try:
        shop.land()
        assert shop.close(shop.last, shop.last, "with the biased counts") == "failed"
        assert shop.failed() == ["gate_mart"]
        assert (shop.published(), shop.versions()) == (before, versions)
        (found,) = shop.site.lake(
            "select count(*) from lakehouse.ops.gate_results where table_name = 'fct_oee_accuracy' "
            "and not success and severity = 'critical' and run_id like ?",
            f"%{shop.run_id}%",
        )
        assert found[0] > 0
    finally:
        for count_id, good_units in kept:
            shop.source("update manual_counts set good_units = %s where count_id = %s", good_units, count_id)
