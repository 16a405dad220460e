"""The daily close from the source to its readers, on the whole platform: what people rely on, and what they break.

The tests stand in the order of a day's story and share one platform; each leaves the published figures equal to
the source.
"""

import time
from datetime import timedelta
from decimal import Decimal

import psutil
import pytest

from stack.services import SERVICES
from tests.e2e.conftest import ANSWER_S, CALENDAR, DAG, eventually, is_back, kill, service_process

pytestmark = [pytest.mark.platform, pytest.mark.e2e]


@pytest.fixture
def day(site):
    return site.last_day


@pytest.fixture(scope="module")
def mirrored(site):
    """A well whose SCADA of the last day came by broker, recorder and `mirror_ot`, and its reported hours on."""
    return site.mirror(site.last_day)


@pytest.fixture(scope="module")
def closed(site, mirrored):
    """The last five weeks, closed as one range."""
    return site.close(site.last_day - timedelta(days=34), site.last_day, reason="first close")


def correct(site, day, well_id, by):
    """Change one well's oil of the day at the source."""
    site.source(
        "update daily_readings set oil_volume = oil_volume + %s where well_id = %s and production_date = %s",
        by,
        well_id,
        day,
    )


def a_producer(site, day):
    """The well with the most oil of the day, so that a small correction stays believable."""
    return max((oil or 0, well) for well, (oil, _, _) in site.recorded(day).items())[1]


def restatements(site, day, version):
    return site.lake(
        "select table_name, column_name, old_value, new_value from lakehouse.ops.restatements "
        "where close_key = ? and version = ? order by table_name, column_name",
        f"{day}@{CALENDAR}",
        version,
    )


def assert_figures_equal_the_source(site, day):
    published, recorded = site.published(day), site.recorded(day)
    assert published.keys() == recorded.keys()
    assert {w: f for w, f in published.items() if f != recorded[w]} == {}


def test_the_first_close_publishes_every_day_with_the_figures_of_the_source(site, closed):
    for back in range(3):
        day = site.last_day - timedelta(days=back)
        assert site.seals(day) == [(1, "published")]
        assert_figures_equal_the_source(site, day)


def test_every_mart_of_the_pack_is_published(site, closed):
    from include.catalog import marts

    for mart in marts("energypack"):
        (rows,) = site.lake(f"select count(*) from lakehouse.energypack.{mart.name} where calendar = '{CALENDAR}'")
        assert rows[0] > 0, mart.name


def test_what_scada_said_of_a_well_stands_beside_what_was_reported(site, mirrored, closed, day):
    well_id, hours_on = mirrored

    (daily,) = site.lake(
        "select hours_on, scada_hours_on from lakehouse.energypack.fct_well_production_daily "
        "where well_id = ? and production_date = ?",
        well_id,
        day,
    )
    hourly = site.lake(
        "select tubing_head_pressure_kpa, tubing_head_pressure_covered_s, uptime_s "
        "from lakehouse.energypack.fct_well_scada_hourly where well_id = ? and production_date = ?",
        well_id,
        day,
    )

    assert daily == (hours_on, hours_on)
    assert {(kpa, covered) for kpa, covered, _ in hourly} == {(Decimal("689.475729"), Decimal(3600))}  # 100 psi
    assert sum(uptime for *_, uptime in hourly) == 3600 * hours_on


def test_a_correction_reaches_readers_with_a_triggered_close_and_not_with_a_cleared_one(site, closed, day):
    well_id = a_producer(site, day)
    before = site.published(day)
    correct(site, day, well_id, Decimal("1.25"))

    site.airflow.clear(DAG, closed)
    assert site.finish(closed) == "success"
    assert site.published(day) == before
    assert site.seals(day)[-1] == (1, "published")

    site.close(day, reason="late correction of one well")
    after = site.published(day)
    assert {w: (before[w], after[w]) for w in after if after[w] != before[w]} == {
        well_id: (before[well_id], (before[well_id][0] + Decimal("1.25"), *before[well_id][1:]))
    }
    assert site.seals(day)[-1] == (2, "published")
    wells = [r for r in restatements(site, day, 2) if r[0] == "fct_well_production_daily"]
    assert {c for _, c, _, _ in wells} == {"oil_reported", "oil_sm3"}
    assert [(Decimal(old), Decimal(new)) for _, c, old, new in wells if c == "oil_reported"] == [
        (before[well_id][0], after[well_id][0])
    ]


def test_a_failing_gate_keeps_the_old_close_and_an_accepted_one_publishes(site, closed, day):
    well_id = a_producer(site, day)
    before, (oil, _, _) = site.published(day), site.recorded(day)[well_id]
    correct(site, day, well_id, oil * 999)  # a unit off by 1000
    try:
        refused = site.trigger(day, reason="with the wrong unit")
        assert site.finish(refused) == "failed"
        failed = [task for task, state in site.states(refused).items() if state == "failed"]
        assert len(failed) == 1 and failed[0].startswith("gate_"), site.states(refused)
        assert site.published(day) == before
        alerts = site.lake(
            "select what, clear_hint, detail from lakehouse.ops.alerts where run_id like ?", f"%{refused}%"
        )
        assert any(well_id in str(alert) for alert in alerts), alerts

        site.airflow.clear(DAG, refused)  # nothing was mended: the same rows fail again
        assert site.finish(refused) == "failed"
        assert site.published(day) == before

        failing = {
            f"{table}.{expectation}" + (f".{column}" if column else "")
            for table, expectation, column in site.lake(
                "select table_name, expectation, column_name from lakehouse.ops.gate_results "
                "where run_id like ? and not success and severity = 'critical'",
                f"%{refused}%",
            )
        }
        everything = sorted({f"{name.split('.')[0]}.*" for name in failing} | GATED_AFTERWARDS)
        site.close(day, reason="a meter was proven: the volume is right", accept=everything)
        assert site.published(day)[well_id][0] == oil * 1000
    finally:
        correct(site, day, well_id, -oil * 999)
    site.close(day, reason="the unit was wrong after all")
    assert_figures_equal_the_source(site, day)


GATED_AFTERWARDS = {"fct_well_production_daily.*", "fct_field_production_daily.*", "fct_field_production_monthly.*"}


def test_the_change_stream_survives_kill_9_of_its_worker(site, closed, day):
    well_id = a_producer(site, day)
    for _ in range(3):
        correct(site, day, well_id, Decimal("0.5"))
        old = service_process("connect")
        kill(old)
        eventually(lambda pid=old.pid: is_back("connect", pid), ANSWER_S)
    correct(site, day, well_id, Decimal("0.5"))

    run_id = site.airflow.trigger("land_fieldops")
    assert site.finish(run_id, "land_fieldops") == "success"
    site.close(day, reason="after the worker was killed")
    assert_figures_equal_the_source(site, day)


def test_a_killed_scheduler_leaves_no_second_copy_that_publishes(site, closed, day):
    well_id = a_producer(site, day)
    correct(site, day, well_id, Decimal("0.75"))
    run_id = site.trigger(day, reason="the scheduler is killed in mid-build")
    site.wait_for_task(run_id, "mart", "running")
    kill(service_process("airflow-scheduler"))

    assert site.finish(run_id) == "success", site.states(run_id)
    version = max(v for v, _ in site.seals(day))
    assert [state for v, state in site.seals(day) if v == version] == ["published"]
    assert_figures_equal_the_source(site, day)


def task_that_holds_out_for_a_lease() -> psutil.Process | None:
    """The process of the publishing task while it waits for the lease: the one other session that is named after it."""
    import psycopg

    from include.settings import postgres_dsn

    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        ports = connection.execute(
            "select client_port from pg_stat_activity where application_name = 'lease publish:energypack'"
        ).fetchall()
    mine = psutil.Process().pid
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr.port in {port for (port,) in ports} and connection.pid not in (None, mine):
            found = psutil.Process(connection.pid)
            if "postgres" not in found.name():
                return found
    return None


def test_a_killed_publishing_task_is_made_good_by_its_retry(site, closed, day):
    well_id = a_producer(site, day)
    correct(site, day, well_id, Decimal("0.75"))
    from include.ops.lease import hold

    with hold("publish:energypack", "the test, so that the task is caught waiting", wait_s=ANSWER_S):
        run_id = site.trigger(day, reason="the publishing task is killed")
        site.wait_for_task(run_id, "publish", "running")
        kill(eventually(task_that_holds_out_for_a_lease, ANSWER_S))
    assert site.finish(run_id) == "success", site.states(run_id)
    assert site.tries(run_id)["publish"] > 1
    version = max(v for v, _ in site.seals(day))
    assert [state for v, state in site.seals(day) if v == version] == ["published"]
    assert_figures_equal_the_source(site, day)


def test_a_catalog_killed_in_mid_publish_never_shows_half_a_close(site, closed, day, reader):
    well_id = a_producer(site, day)
    correct(site, day, well_id, Decimal("0.75"))
    run_id = site.trigger(day, reason="the catalog is killed in mid-publish")
    site.wait_for_task(run_id, "publish", "running", "success")
    eventually(reader.answers, ANSWER_S)
    down_since, catalog = time.time(), service_process("seaweedfs")
    kill(catalog)
    eventually(lambda: is_back("seaweedfs", catalog.pid) and SERVICES["recover"].is_healthy() is None, ANSWER_S)
    healthy_again = time.time()

    assert site.finish(run_id) == "success", site.states(run_id)
    assert_figures_equal_the_source(site, day)
    eventually(lambda: [a for a in reader.answers() if a["begun"] > healthy_again], ANSWER_S)
    assert reader.differences([(down_since, healthy_again)]) == []


def test_a_close_can_be_withdrawn_to_the_version_before(site, closed, day):
    from include.publish.rollback import roll_back

    versions = [v for v, state in site.seals(day) if state == "published"]
    before = site.published(day)
    correct(site, day, a_producer(site, day), Decimal("2"))
    site.close(day, reason="a correction that turns out wrong")
    assert site.published(day) != before

    roll_back("energypack", f"{day}@{CALENDAR}", who="test", why="the correction was wrong")
    assert site.published(day) == before
    assert site.seals(day)[-1][1] == "rolled_back"
    assert versions
