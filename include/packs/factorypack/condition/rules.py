"""What is decided beforehand for every asset: quantities, methods' constants, and how an alert is confirmed."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Direction = Literal["up", "both"]


@dataclass(frozen=True)
class Feature:
    """One quantity of an hour: its column of `fct_asset_hour`, and the change below which its sensor sends nothing.

    `resolution` is in the unit of the column. A mean cannot be known better, so it bounds the scale from below.
    """

    column: str
    label: str
    unit: str
    resolution: float


FEATURES = (
    Feature("temperature_degc_mean", "temperature", "degC", 0.3),
    Feature("vibration_mm_per_s_mean", "vibration", "mm/s", 0.1),
    Feature("load_pct_mean", "load", "%", 2.0),
)


@dataclass(frozen=True)
class Rules:
    """The constants of all methods. The values stand for any plant; none was fitted to known failures.

    `direction`: whether only a rise is a fault (a worn drive runs hotter, rougher and heavier) or any change is.
    """

    training_h: int = 36  # hours of steady production of one product that a baseline is learned from
    false_alarm_every_h: int = 5000  # hours of a sound asset between two false exceedances of one method
    direction: Direction = "up"
    clip: float = 4.0  # of standardised values in EWMA and CUSUM: one wild hour alone never crosses their limits
    ewma_weight: float = 0.2
    cusum_slack: float = 1.0  # half the shift that is looked for, in standard deviations
    pca_variance: float = 0.8  # share of the variance that the kept components explain at least
    forest_trees: int = 100
    seed: int = 7
    agreeing: int = 2  # methods that must exceed together for an hour to count
    confirm_k: int = 4  # hours that count, of
    confirm_n: int = 6  # the last ones: a candidate is confirmed then
    subsided_h: int = 24  # hours in a row without an exceedance after which an alert has subsided
    hold_off_h: int = 24  # hours after an alert ended in which no new one is opened
    rescored_days: int = 90  # a baseline that ended longer before the newest hour keeps the scores that it has

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


RULES = Rules()
