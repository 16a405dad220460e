"""Segments, models and scores of rows as fct_asset_hour has them: what is compared with what, and what is learning."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from include.packs.factorypack.condition.methods import METHODS
from include.packs.factorypack.condition.models import model_id, train, wanted
from include.packs.factorypack.condition.rules import RULES, Rules
from include.packs.factorypack.condition.scoring import VOTE, scores
from include.packs.factorypack.condition.segments import segments

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(n: int, vibration: float | None, product: str = "A", renewed_by: str | None = None, **more) -> dict:
    noise = np.random.default_rng([n, 5]).standard_normal(3)
    return {
        "calendar": "riverside", "shift_id": "2026-01-01.1", "production_date": date(2026, 1, 1), "station_id": "S",
        "hour_started_at": START + timedelta(hours=n), "hour_ended_at": START + timedelta(hours=n + 1),
        "is_evidence": True, "product_id": product, "running_share": 1, "renewed_by": renewed_by,
        "temperature_degc_mean": 45 + noise[0],
        "vibration_mm_per_s_mean": None if vibration is None else vibration + 0.05 * noise[1],
        "load_pct_mean": 55 + noise[2], **more,
    }  # fmt: skip


def scored(rows: list[dict], rules: Rules = RULES) -> dict:
    found = segments(rows)
    models = {name: train(segment, method, rules) for name, (segment, method) in wanted(found, rules).items()}
    return {((one.hour.started_at - START) // timedelta(hours=1), one.method): one for one in scores(found, models)}


def test_nothing_is_compared_across_renewals_products_or_hours_without_evidence():
    rows = [row(0, 1.0), row(1, 1.2, "B"), row(2, 1.0), row(3, 1.5, renewed_by="WO-1"), row(4, 0.1, is_evidence=False)]

    found = {s.key: len(s.hours) for s in segments(reversed(rows))}

    assert found == {("S", "first", "A"): 2, ("S", "first", "B"): 1, ("S", "WO-1", "A"): 1}


def test_standstill_is_no_alert():
    """A drive that stands shows no vibration, far from its baseline; its hours are no evidence and have no score."""
    rows = [row(n, 1.5) for n in range(60)] + [row(n, 0.1, is_evidence=False) for n in range(60, 80)]

    found = scored(rows)

    assert max(n for n, _ in found) == 59
    assert not any(found[n, VOTE].exceeds for n in range(60))


def test_a_baseline_is_learned_before_anything_is_said_and_anew_after_a_renewal():
    rows = [row(n, 1.5) for n in range(50)] + [row(n, 2.5, renewed_by="WO-1") for n in range(50, 100)]

    found = scored(rows)

    states = [found[n, VOTE].state for n in range(100)]
    assert states == ["learning"] * 36 + ["scored"] * 14 + ["learning"] * 36 + ["scored"] * 14
    assert not any(one.exceeds for (_, method), one in found.items() if method == VOTE)


def test_a_rise_is_seen_by_the_methods_and_by_their_vote():
    found = scored([row(n, 1.5) for n in range(50)] + [row(n, 3.0) for n in range(50, 60)])

    for method in (*METHODS[:-1], VOTE):
        assert found[59, method].exceeds and found[59, method].feature == "vibration", method
        assert not found[40, method].exceeds, method
    assert found[59, VOTE].statistic == 4 and found[59, VOTE].model_id is None


def test_a_method_without_all_its_values_has_no_opinion():
    found = scored([row(n, 1.5) for n in range(50)] + [row(50, None)])

    assert found[50, "pca"].state == "unknown" and found[50, "pca"].statistic is None
    assert found[50, "robust_z"].state == "scored"


def test_a_segment_without_its_models_is_learning():
    assert {one.state for one in scores(segments([row(n, 1.5) for n in range(50)]), {})} == {"learning"}


def test_a_model_s_name_follows_from_what_it_learned_and_from_nothing_later():
    (before,), (after,) = segments([row(n, 1.5) for n in range(40)]), segments([row(n, 1.5) for n in range(60)])
    (restated,) = segments([row(0, 1.6), *(row(n, 1.5) for n in range(1, 60))])

    for method in METHODS:
        assert model_id(before, method) == model_id(after, method) != model_id(restated, method)
        assert model_id(before, method) != model_id(before, method, Rules(training_h=30))
    assert train(before, "pca") == train(after, "pca")


def test_late_data_restate_only_what_follows_from_them():
    rows = [row(n, 1.5) for n in range(60)]
    before, after = scored(rows), scored([*rows[:50], row(50, 9.0), *rows[51:]])

    changed = {n for (n, method), one in before.items() if after[n, method] != one}
    assert min(changed) == 50
    assert {n for n in changed if after[n, "robust_z"] != before[n, "robust_z"]} == {50}


@pytest.mark.parametrize("hours", (0, 35))
def test_fewer_hours_than_the_window_train_nothing(hours):
    found = segments([row(n, 1.5) for n in range(hours)])

    assert wanted(found) == {}
    assert all(train(segment, "pca") is None for segment in found)
