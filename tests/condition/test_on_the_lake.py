"""Training, scoring and alerts on a lakehouse: what is killed, cleared or run twice leaves the same rows."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.expressions import AlwaysTrue

from include import lakehouse
from include.catalog import marts
from include.errors import DeclarationError, LakehouseError
from include.ops.store import read
from include.packs.factorypack.condition import MART, life, run
from include.packs.factorypack.condition.events import events_of
from include.publish.publish import ensure_mart

pytestmark = pytest.mark.platform
START = datetime(2026, 1, 5, tzinfo=UTC)
SITE = "riverside"
H = timedelta(hours=1)


def row(n: int, vibration: float, station: str = "MCH-10", renewed_by: str | None = None) -> dict:
    """An hour of steady production; `n` counts from the start."""
    noise = np.random.default_rng([n, *station.encode()]).standard_normal(3)
    return {
        "calendar": SITE,
        "shift_id": f"2026-01-05.{n // 8 % 3 + 1}",
        "production_date": date(2026, 1, 5),
        "line_id": "MCH",
        "station_id": station,
        "hour_started_at": START + n * H,
        "hour_ended_at": START + (n + 1) * H,
        "regime": "steady",
        "is_evidence": True,
        "product_id": "HSG-A",
        "running_share": 1,
        "steady_share": 1,
        "no_data_share": 0,
        "temperature_degc_mean": round(45 + float(noise[0]), 6),
        "vibration_mm_per_s_mean": round(vibration + 0.05 * float(noise[1]), 6),
        "load_pct_mean": round(55 + float(noise[2]), 6),
        "renewed_by": renewed_by,
    }


def publish(rows: Iterable[dict]) -> None:
    """Put the rows in the place of all that the mart holds, with the types of its contract."""
    target = ensure_mart("factorypack", next(m for m in marts("factorypack") if m.name == MART))
    given = list(rows)
    names = list(given[0])
    columns = {}
    for name in names:
        kind = target.schema().as_arrow().field(name).type
        values = [one[name] for one in given]
        if pa.types.is_decimal(kind):
            columns[name] = pa.array([None if v is None else f"{v:.6f}" for v in values], pa.string()).cast(kind)
        else:
            columns[name] = pa.array(values, kind)
    lakehouse.commit_many([lakehouse.replaced(target, pa.table(columns), AlwaysTrue())])


WORN = [row(n, 1.5) for n in range(50)] + [row(n, 3.0) for n in range(50, 60)]


@pytest.fixture
def published(lake_platform):
    """A drive that is sound for 50 hours and worn for 10, and nothing that was said of an earlier one."""
    for name in (run.SCORES, "ops.asset_models", "ops.asset_alerts"):
        if lakehouse.exists(name) and lakehouse.table(name).scan().count():
            lakehouse.table(name).delete(AlwaysTrue())
    publish(WORN)


def rows() -> dict[str, list]:
    """Everything that the steps have written, in order."""
    scores = lakehouse.table(run.SCORES).scan().to_arrow().sort_by(run.ORDER).to_pylist()
    models = sorted(one["model_id"] for one in read("asset_models"))
    events = [(e["event_id"], e["at"], e["who"]) for e in read("asset_alerts")]
    return {"scores": scores, "models": models, "events": events}


def all_steps(holder: str = "run") -> None:
    run.train(holder)
    run.score(holder)
    run.alert(holder)


def the_alert() -> life.Alert:
    return life.alerts(events_of(SITE))[-1]


def test_a_worn_drive_is_told_once_however_often_it_is_looked_at(published):
    all_steps()
    once = rows()

    assert len(once["models"]) == 5 and len(once["scores"]) == 60 * 6
    assert [name.split("/")[1] for name, *_ in once["events"]] == ["opened", "confirmed"]
    assert the_alert().station_id == "MCH-10" and the_alert().state == "confirmed"
    assert the_alert().evidence["robust_z"]["feature"] == "vibration"
    snapshot = lakehouse.table(run.SCORES).metadata.current_snapshot_id

    all_steps("cleared")

    assert rows() == once and lakehouse.table(run.SCORES).metadata.current_snapshot_id == snapshot


def test_killed_between_training_and_scoring(published):
    assert run.train("killed") == 5
    kept = sorted(one["model_id"] for one in read("asset_models"))

    run.score("cleared")

    assert rows()["models"] == kept
    assert {one["state"] for one in rows()["scores"]} == {"learning", "scored"}


def test_killed_before_training_another_run_does_all(published):
    run.score("next")
    run.alert("next")

    assert len(rows()["models"]) == 5 and the_alert().state == "confirmed"


def test_an_answer_that_was_lost_at_the_commit_doubles_nothing(published, monkeypatch):
    commit = lakehouse.commit_many

    def lost(transactions, before_commit=None) -> None:
        commit(transactions, before_commit)
        raise LakehouseError("the answer was lost")

    monkeypatch.setattr(lakehouse, "commit_many", lost)
    with pytest.raises(LakehouseError, match="was lost"):
        run.score("first")
    monkeypatch.setattr(lakehouse, "commit_many", commit)

    assert run.score("retry") == 0
    keys = [(one["hour_started_at"], one["method"]) for one in rows()["scores"]]
    assert len(keys) == len(set(keys)) == 60 * 6


def test_models_keep_their_training_window(published):
    all_steps()
    publish([*WORN, *(row(n, 3.0) for n in range(60, 80))])
    all_steps()

    models = read("asset_models")
    assert len(models) == 5
    assert {(one["trained_from"], one["trained_to"], one["training_h"]) for one in models} == {
        (START, START + 36 * H, 36)
    }
    assert all(one["features_snapshot"] and one["library"] and one["rules"] for one in models)


def test_late_data_restate_scores_from_their_hour_on_and_withdraw_the_alert(published):
    all_steps()
    before = rows()["scores"]
    publish([row(n, 1.5) for n in range(60)])
    all_steps()

    after = rows()["scores"]
    changed = {old["hour_started_at"] for old, now in zip(before, after, strict=True) if old != now}
    assert min(changed) >= START + 50 * H
    assert the_alert().state == "withdrawn"
    assert [e["event"] for e in events_of(SITE)] == ["opened", "confirmed", "withdrawn"]


def test_a_renewal_ends_the_alert_and_begins_another_baseline(published):
    all_steps()
    publish([*WORN, *(row(n, 2.0, renewed_by="WO-MCH-10-B9") for n in range(62, 110))])
    all_steps()

    assert (the_alert().state, the_alert().ended_at) == ("renewed", START + 62 * H)
    baselines = {one["baseline_id"] for one in read("asset_models")}
    assert baselines == {"first", "WO-MCH-10-B9"}
    assert not any(
        one["exceeds"] for one in rows()["scores"] if one["baseline_id"] != "first" and one["method"] == "vote"
    )


def test_people_s_words_are_kept_once_with_their_names(published):
    all_steps()
    said = START + 61 * H
    name = the_alert().alert_id
    for _ in range(2):  # the task is cleared
        run.tell(SITE, name, "acknowledged", "ada", "will look", said)
    run.tell(SITE, name, "labelled", "ada", "pitted", said + H, "true_fault")
    run.tell(SITE, name, "closed", "ada", "replaced, no order", said + 2 * H)
    all_steps()

    one = the_alert()
    assert (one.state, one.acknowledged_by, one.label, one.ended_at) == ("closed", "ada", "true_fault", said + 2 * H)
    assert [e["event"] for e in events_of(SITE)] == ["opened", "confirmed", "acknowledged", "labelled", "closed"]
    with pytest.raises(DeclarationError, match="ended as closed"):
        run.tell(SITE, name, "closed", "bob", "again", said + 3 * H)


def test_after_a_closed_alert_the_station_holds_off(published):
    all_steps()
    run.tell(SITE, the_alert().alert_id, "closed", "ada", "known", START + 60 * H)
    publish([*WORN, *(row(n, 3.0) for n in range(60, 100))])
    all_steps()

    opened = [one.opened_at for one in life.alerts(events_of(SITE))]
    assert opened[1:] == [START + 85 * H]  # 24 hours after it was closed


def test_what_is_withdrawn_from_the_mart_has_no_scores(published):
    all_steps()
    publish(WORN[10:])  # the first shift was rolled back
    all_steps()

    assert min(one["hour_started_at"] for one in rows()["scores"]) == START + 10 * H
    publish([{**row(0, 1.0), "is_evidence": False, "regime": "standstill"}])
    all_steps()
    assert rows()["scores"] == []


def test_a_baseline_that_ended_long_ago_keeps_its_scores(published):
    old = [row(n, 1.5) for n in range(40)]
    later = 24 * (run.RULES.rescored_days + 10)
    new = [row(later + n, 1.5, renewed_by="WO-1") for n in range(40)]
    publish([*old, *new])
    all_steps()
    before = rows()["scores"]
    publish([*(row(n, 1.6) for n in range(40)), *new, row(later + 40, 1.5, renewed_by="WO-1")])
    all_steps()

    after = rows()["scores"]
    assert after[: len(before)] == before and len(after) == len(before) + 6
    assert min(one["hour_started_at"] for one in after) == START


def test_nothing_published_is_nothing_to_do(lake_platform):
    publish([{**row(0, 1.0), "is_evidence": False, "regime": "standstill"}])
    all_steps()

    assert rows()["scores"] == []


def test_the_command_line_says_how_good_alerts_proved(published, capsys):
    """One alert, labelled; the drive was renewed 6 hours after it was confirmed, by a job that says that it failed."""
    import json

    from include.packs.factorypack.condition import cli

    all_steps()
    one = the_alert()
    assert cli.main(["label", one.alert_id, "true_fault", "--who", "ada", "--why", "pitted"]) == 0
    renewed_at = one.confirmed_at + 6 * H
    renewal = {"renewed_at": renewed_at, "renewal_kind": "corrective"}
    last = [row(n, 2.0, renewed_by="WO-1") | renewal for n in range(66, 70)]
    publish([*({"renewed_at": None, "renewal_kind": None, **old} for old in WORN), *last])
    capsys.readouterr()

    days = str((datetime.now(UTC) - START).days + 1)
    assert cli.main(["precision", "--days", days, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    station, line, total = said["precision"]
    assert (station["station_id"], line["line_id"], line["station_id"]) == ("MCH-10", "MCH", None)
    for figures in (station, line, total):
        assert (figures["confirmed"], figures["true_faults"], figures["unlabelled"], figures["precision"]) == (
            1,
            1,
            0,
            1,
        )
        assert (figures["running_h"], figures["median_lead_h"], figures["least_lead_h"]) == (64, 6, 6)
        assert (figures["failures"], figures["missed_failures"], figures["recall"]) == (1, 0, 1)

    assert cli.main(["precision", "--days", days]) == 0
    shown = capsys.readouterr().out
    assert "line MCH" in shown and "100 %" in shown and "between 27 % and 100 %" in shown
    assert cli.main(["precision", "--days", "1"]) == 0  # nothing of it is of yesterday
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", *"00000", "–", "–", "–", "0", "0", "–"]


def test_the_command_line_lists_and_says(published, capsys):
    from include.packs.factorypack.condition import cli

    all_steps()
    name = the_alert().alert_id
    assert cli.main(["ack", name, "--who", "ada", "--why", "will look"]) == 0
    assert cli.main(["list"]) == 0
    assert cli.main(["close", "nothing", "--who", "ada", "--why", "?"]) == 1

    told = capsys.readouterr()
    assert f"{name} is acknowledged." in told.out and "acknowledged by ada" in told.out and "vibration:" in told.out
    assert f"Open ones: {name}" in told.err
