"""Each method against figures worked out by hand, and limits against published run lengths."""

import numpy as np
import pytest

from include.packs.factorypack.condition import charts, forest, pca
from include.packs.factorypack.condition.baseline import learned, uncertainty
from include.packs.factorypack.condition.methods import METHODS, VOTING, fit, score
from include.packs.factorypack.condition.rules import Rules

BOTH = Rules(direction="both")


def sound(hours: int, seed: int = 1, features: int = 3) -> np.ndarray:
    return (
        np.random.default_rng(seed).standard_normal((hours, features)) * [0.5, 0.1, 2.0][:features]
        + [45, 1.5, 55][:features]
    )


def test_the_baseline_is_median_and_mad():
    """1, 2, 3, 4, 100: median 3, deviations 2, 1, 0, 1, 97, their median 1, so the scale is 1.4826."""
    found = learned(np.array([[1.0], [2.0], [3.0], [4.0], [100.0]]), np.array([0.0]))

    assert (found.center[0], found.scale[0]) == (3.0, 1.4826)
    assert found.standardised(np.array([[3 + 2 * 1.4826]]))[0, 0] == pytest.approx(2)


def test_a_steady_sensor_has_the_scale_that_its_resolution_leaves_open():
    """A step of 0.3 leaves an error anywhere within it: 0.3 / sqrt(12) = 0.0866."""
    found = learned(np.full((10, 2), [45.0, np.nan]), np.array([0.3, 1.0]))

    assert found.scale[0] == pytest.approx(0.0866, abs=1e-4)
    assert np.isnan(found.center[1])


def test_a_short_training_window_widens_the_limits():
    assert uncertainty(36, 1e-4) > uncertainty(360, 1e-4) > 1
    assert uncertainty(100_000, 1e-4) == pytest.approx(1, abs=1e-3)


def test_ewma_by_hand():
    """Weight 0.2: 0.2 · 1 = 0.2; 0.2 · 2 + 0.8 · 0.2 = 0.56; unknown leaves 0.56; 0.2 · -4 + 0.8 · 0.56 = -0.352."""
    found = charts.ewma(np.array([[1.0], [2.0], [np.nan], [-4.0]]), 0.2, False)

    assert found[:, 0] == pytest.approx([0.2, 0.56, 0.56, -0.352])
    assert charts.ewma(np.array([[1.0], [2.0], [np.nan], [-4.0]]), 0.2, True)[3, 0] == pytest.approx(0.352)


def test_cusum_by_hand():
    """Slack 1: 0 + 3 - 1 = 2; 2 + 0.5 - 1 = 1.5; unknown leaves it; 1.5 - 4 - 1 is below 0: 0. Downwards 4 - 1 = 3."""
    u = np.array([[3.0], [0.5], [np.nan], [-4.0]])

    assert charts.cusum(u, 1.0, False)[:, 0] == pytest.approx([2, 1.5, 1.5, 0])
    assert charts.cusum(u, 1.0, True)[:, 0] == pytest.approx([2, 1.5, 1.5, 3])


def test_limits_are_those_of_the_textbooks():
    """Montgomery: 3 sigma is once in 370; CUSUM k = 0.5, h = 4.77 has 370 of both sides. Lucas & Saccucci (1990):
    weight 0.2, L = 2.962 has 500, so the limit is 2.962 · sqrt(0.2 / 1.8) = 0.9873."""
    assert charts.shewhart_limit(370.4, True) == pytest.approx(3, abs=0.001)
    assert charts.cusum_limit(370, 0.5, True) == pytest.approx(4.77, abs=0.03)
    assert charts.ewma_limit(500, 0.2, True) == pytest.approx(0.9873, abs=0.004)


def test_components_of_two_features_by_hand():
    """(1, 1), (-1, -1), (2, 2), (-2, -2), (0.1, -0.1), (-0.1, 0.1) lie along (1, 1): sums of squares there
    2 · 2 + 2 · 8 = 20 over 5 = 4, across it 2 · 0.02 = 0.04 over 5 = 0.008. (3, 1) has (4 / sqrt 2)² / 4 = 2 as T²
    and (2 / sqrt 2)² = 2 as Q."""
    u = np.array([[1, 1], [-1, -1], [2, 2], [-2, -2], [0.1, -0.1], [-0.1, 0.1]])
    model = pca.components(u, 0.8)

    assert (len(model.variances), model.variances[0], model.left_out[0]) == (1, pytest.approx(4), pytest.approx(0.008))
    assert pca.t_squared(model, np.array([[3.0, 1.0]]))[0] == pytest.approx(2)
    assert pca.q_residual(model, np.array([[3.0, 1.0]]))[0] == pytest.approx(2)


def test_the_limits_of_the_components_are_exceeded_as_often_as_they_say():
    random = np.random.default_rng(3)
    mixing = np.array([[1.0, 0.8, 0.3], [0.0, 0.6, 0.2], [0.0, 0.0, 0.5]])
    model = pca.components(random.standard_normal((20_000, 3)) @ mixing, 0.8)
    fresh = random.standard_normal((20_000, 3)) @ mixing

    assert (pca.t_squared(model, fresh) > pca.t_squared_limit(model, 0.01)).mean() == pytest.approx(0.01, abs=0.003)
    assert (pca.q_residual(model, fresh) > pca.q_limit(model, 0.01)).mean() == pytest.approx(0.01, abs=0.003)


def test_a_forest_grows_again_tree_by_tree():
    training, hours = sound(36), sound(10, 2)

    assert (forest.oddness(training, hours, 20, 7) == forest.oddness(training, hours, 20, 7)).all()
    odd = forest.oddness(training, np.array([[45.0, 1.5, 55.0], [70.0, 5.0, 70.0], [np.nan, 1.5, 55.0]]), 20, 7)
    assert odd[1] > odd[0] and np.isnan(odd[2])


@pytest.mark.parametrize("method", METHODS)
def test_a_worn_drive_exceeds_and_a_sound_one_does_not(method):
    training = sound(36)
    parameters = fit(method, training, [0.3, 0.1, 2.0], Rules())
    usual = score(method, parameters, training, sound(200, 2), Rules())
    worn = score(method, parameters, training, sound(40, 3) + [8.0, 4.0, 5.0], Rules())

    assert usual.exceeds.mean() <= (0.1 if method == "isolation_forest" else 0.005)
    assert worn.exceeds[5:].mean() > 0.9
    assert (worn.feature[5:] == 1).mean() > 0.5  # vibration moves most, in its own scale


@pytest.mark.parametrize("method", ("robust_z", "ewma", "cusum"))
def test_only_a_rise_is_a_fault_of_a_drive_unless_said_otherwise(method):
    training, fallen = sound(36), sound(40, 3) - [8.0, 2.0, 20.0]

    assert not score(method, fit(method, training, [0, 0, 0], Rules()), training, fallen, Rules()).exceeds.any()
    assert score(method, fit(method, training, [0, 0, 0], BOTH), training, fallen, BOTH).exceeds[5:].all()


@pytest.mark.parametrize("method", ("ewma", "cusum"))
def test_one_wild_hour_alone_never_crosses_a_chart_with_a_memory(method):
    training, hours = sound(36), np.tile([45.0, 1.5, 55.0], (10, 1))
    hours[4] = [1e6, 1e6, 1e6]

    assert not score(method, fit(method, training, [0, 0, 0], Rules()), training, hours, Rules()).exceeds.any()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_learned_is_plain_json_and_the_same_every_time(method):
    import json

    first = fit(method, sound(36), [0.3, 0.1, 2.0], Rules())

    assert json.loads(json.dumps(first)) == first == fit(method, sound(36), [0.3, 0.1, 2.0], Rules())


@pytest.mark.parametrize("method", METHODS)
def test_a_sensor_that_is_not_there_is_left_out(method):
    training, hours = sound(36), sound(5, 2)
    training[:, 0] = hours[:, 0] = np.nan
    found = score(method, fit(method, training, [0.3, 0.1, 2.0], Rules()), training, hours, Rules())

    assert not np.isnan(found.statistic).any()
    assert set(found.feature) <= {1, 2}


@pytest.mark.parametrize("method", VOTING)
def test_the_training_window_never_exceeds_its_own_limit(method):
    training = sound(36)
    training[10] = [60, 5, 90]

    assert not score(method, fit(method, training, [0, 0, 0], Rules()), training, training, Rules()).exceeds.any()


@pytest.mark.trial
@pytest.mark.parametrize("method", VOTING)
def test_a_sound_drive_exceeds_about_as_seldom_as_is_asked(method):
    """150 baselines of 36 hours, 500 hours after each: 15 excursions are asked for; some have several."""
    random, excursions = np.random.default_rng(11), 0
    for _ in range(150):
        training, hours = random.standard_normal((36, 3)), random.standard_normal((500, 3))
        exceeds = score(method, fit(method, training, [0, 0, 0], Rules()), training, hours, Rules()).exceeds
        excursions += (exceeds & ~np.concatenate([[False], exceeds[:-1]])).sum()

    assert excursions <= 4 * 15
