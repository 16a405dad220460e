"""How good the alerts are where the truth is known: false alarms per running asset-week, failures found, lead time.

    python -m benchmarks.condition [--days 60] [--seeds 44 45 46] [--data ../shared/data]

The demo plant's drives (simulated, every bearing known), and two real sets where they are at hand: a water loop whose
valve is closed step by step (SKAB), and a machine's temperature up to its failure (NAB). Each method decides with the
same rules and nothing but its training hours; `Trial.faults` opens the labels, and is called once all is decided.
Beside them, in the same run: a method that never says anything, and three sigma without confirmation. These are few
files and one run; the figures are not comparable with public leaderboards, which score otherwise.
"""

import argparse
import csv
import json
import os
import platform as machine
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np

from include.packs.factorypack.condition.confirm import Episode, Verdict, episodes
from include.packs.factorypack.condition.evaluation import Fault, Judged, judge
from include.packs.factorypack.condition.methods import METHODS
from include.packs.factorypack.condition.models import train, wanted
from include.packs.factorypack.condition.rules import FEATURES, RULES, Feature, Rules
from include.packs.factorypack.condition.scoring import VOTE, scores
from include.packs.factorypack.condition.segments import FIRST, Hour, Segment, segments
from include.settings import ROOT

SILENT, THREE_SIGMA = "always_silent", "three_sigma"
DATA = Path(os.environ.get("HNAI_TEST_DATA", ROOT.parent / "shared" / "data"))
LAST_DAY = date(2026, 11, 29)
SKAB_TRAINED_S, SKAB_STEP_S = 400, 10  # its publisher's own split; means over ten seconds
NAB_TRAINED = 0.15  # its publisher's own probationary share
LABELLED_END, MIDDLE = "the end of the labelled stretch", "the middle of the labelled window"
NAB_NAME = "realKnownCause/machine_temperature_system_failure.csv"


@dataclass(frozen=True)
class Trial:
    """One set of assets: their hours (or shorter steps), what is decided beforehand, and how labels are opened."""

    name: str
    segments: Sequence[Segment]
    features: Sequence[Feature]
    rules: Rules
    running_h: float
    lead_to: str  # what the lead of a confirmed alert is counted to
    faults: Callable[[], list[Fault]]


def decide(trial: Trial) -> dict[str, list[Episode]]:
    """The alerts of each method, and of the baselines, from the hours alone."""
    models = {
        name: train(segment, method, trial.rules, trial.features)
        for name, (segment, method) in wanted(trial.segments, trial.rules, trial.features).items()
    }
    said: dict[str, list[Verdict]] = {}
    for one in scores(trial.segments, models, trial.rules, trial.features):
        counts = one.exceeds if one.state == "scored" else None
        verdict = Verdict(one.station_id, one.baseline_id, one.hour.started_at, one.hour.ended_at, counts)
        said.setdefault(one.method, []).append(verdict)
    found = {method: _by_station(said.get(method, []), trial.rules) for method in (*METHODS, VOTE)}
    at_once = replace(trial.rules, confirm_k=1, confirm_n=1)
    plain = [verdict for segment in trial.segments for verdict in _three_sigma(segment, trial.rules)]
    return {SILENT: [], THREE_SIGMA: _by_station(plain, at_once), **found}


def _by_station(verdicts: Sequence[Verdict], rules: Rules) -> list[Episode]:
    stations = sorted({one.station_id for one in verdicts})
    return [e for s in stations for e in episodes([v for v in verdicts if v.station_id == s], rules)]


def _three_sigma(segment: Segment, rules: Rules) -> Iterator[Verdict]:
    """Any feature beyond three standard deviations from the mean of the training hours."""
    training = segment.values[: rules.training_h]
    is_ready = len(training) == rules.training_h
    if is_ready:
        mean, deviation = np.nanmean(training, axis=0), np.maximum(np.nanstd(training, axis=0, ddof=1), 1e-9)
        beyond = (np.abs(np.nan_to_num((segment.values - mean) / deviation)) > 3).any(axis=1)
    for n, hour in enumerate(segment.hours):
        counts = bool(beyond[n]) if is_ready and n >= rules.training_h else None
        yield Verdict(segment.station_id, segment.baseline_id, hour.started_at, hour.ended_at, counts)


def judged(trial: Trial, decided: dict[str, list[Episode]]) -> dict[str, Judged]:
    """The only place where labels are opened."""
    faults = trial.faults()
    return {method: judge(found, faults, trial.running_h) for method, found in decided.items()}


def plant(days: int, stations: Sequence[str] = (), seed: int = 44) -> Trial:
    """The simulated plant's drives, all or some, as its historian and MES know them; it needs no service."""
    from demo import plant_hours

    stations = stations or plant_hours.STATION_NAMES
    first = LAST_DAY - timedelta(days=days - 1)
    rows = plant_hours.hours(first, LAST_DAY, seed, stations=stations)
    begins, ends = min(r["hour_started_at"] for r in rows), max(r["hour_ended_at"] for r in rows)

    def faults() -> list[Fault]:
        from demo import plant_truth

        known = [
            one for one in plant_truth.bearings(first, LAST_DAY, seed).to_pylist() if one["station_id"] in stations
        ]
        worn = [one for one in known if one["onset_at"] and one["onset_at"] < ends and one["stopped_at"] > begins]
        return [
            Fault(
                one["station_id"],
                one["onset_at"],
                min(one["stopped_at"], ends),
                one["failed_at"] if one["failed_at"] and one["failed_at"] <= ends else None,
            )
            for one in worn
        ]

    running_h = sum(
        row["running_share"] * ((row["hour_ended_at"] - row["hour_started_at"]) / timedelta(hours=1)) for row in rows
    )
    name = f"demo plant (seed {seed}), {days} days, {len(stations)} drives"
    return Trial(
        name,
        segments(rows),
        FEATURES,
        RULES,
        running_h,
        "the failure",
        faults,
    )


def skab(folder: Path) -> Trial:
    """The water loop: each file an asset, trained on its first 400 s, any change a fault."""
    found, features, running_s = [], (), 0
    for path in sorted(folder.glob("valve1_*.csv")):
        with path.open(newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
        names = [name for name in rows[0] if name not in ("datetime", "anomaly", "changepoint")]
        at = [_utc(row["datetime"]) for row in rows]
        values = np.array([[float(row[name]) for name in names] for row in rows])
        features = tuple(Feature(name, name, "", 0.0) for name in names)
        hours, means = _steps(at, values, timedelta(seconds=SKAB_STEP_S))
        found.append(_with_resolution(Segment(path.stem, FIRST, "", hours, means), values[:SKAB_TRAINED_S]))
        running_s += len(hours) * SKAB_STEP_S

    def faults() -> list[Fault]:
        labelled = []
        for path in sorted(folder.glob("valve1_*.csv")):
            with path.open(newline="") as lines:
                rows = [(_utc(row["datetime"]), float(row["anomaly"])) for row in csv.DictReader(lines, delimiter=";")]
            labelled += [Fault(path.stem, start, end, end) for start, end in _stretches(rows)]
        return labelled

    rules = replace(RULES, direction="both", training_h=SKAB_TRAINED_S // SKAB_STEP_S)
    return Trial(
        "SKAB valve1, 3 files of 19 minutes, real", found, features, rules, running_s / 3600, LABELLED_END, faults
    )


def nab(folder: Path) -> Trial:
    """The machine's temperature: hourly means, trained on the first 15 %, any change a fault."""
    with (folder / NAB_NAME.rpartition("/")[2]).open(newline="") as lines:
        rows = [(_utc(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]
    rows.sort()
    values = np.array([[value] for _, value in rows])
    hours, means = _steps([at for at, _ in rows], values, timedelta(hours=1))
    trained = int(NAB_TRAINED * len(hours))
    segment = _with_resolution(Segment("machine", FIRST, "", hours, means), values[: int(NAB_TRAINED * len(values))])
    trained_to = hours[trained - 1].ended_at

    def faults() -> list[Fault]:
        windows = json.loads((folder / "combined_windows.json").read_text())[NAB_NAME]
        spans = [(_utc(start), _utc(end)) for start, end in windows]
        later = [(start, end) for start, end in spans if end > trained_to]
        return [Fault("machine", start, end, start + (end - start) / 2) for start, end in later]

    rules = replace(RULES, direction="both", training_h=trained)
    feature = (Feature("temperature", "temperature", "", 0.0),)
    return Trial("NAB machine temperature, 79 days, real", [segment], feature, rules, float(len(hours)), MIDDLE, faults)


def _with_resolution(segment: Segment, raw: np.ndarray) -> Segment:
    """The segment in multiples of what its sensors tell apart, by their training values: a step of 1."""
    steps = [np.diff(np.unique(column)) for column in raw.T]
    least = np.array([step.min() if len(step) else 1.0 for step in steps])
    return replace(segment, values=segment.values / least)


def _steps(at: Sequence[datetime], values: np.ndarray, step: timedelta) -> tuple[tuple[Hour, ...], np.ndarray]:
    """Means over steps of equal length that begin with the first value; steps without any value are left out."""
    number = np.array([(one - at[0]) // step for one in at])
    hours, means = [], []
    for n in np.unique(number):
        start = at[0] + int(n) * step
        hours.append(Hour(start, start + step, "", start.date()))
        means.append(values[number == n].mean(axis=0))
    return tuple(hours), np.array(means)


def _stretches(rows: Sequence[tuple[datetime, float]]) -> Iterator[tuple[datetime, datetime]]:
    begun = None
    for at, label in [*rows, (rows[-1][0], 0.0)]:
        if label and begun is None:
            begun = at
        if not label and begun is not None:
            yield begun, at
            begun = None


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shown(trial: Trial, found: dict[str, Judged]) -> str:
    """The figures of a trial as a table, one method a line."""
    head = next(iter(found.values()))
    step = trial.segments[0].hours[0]
    step_s = (step.ended_at - step.started_at).total_seconds()
    lines = [
        f"\n{trial.name}: {head.running_weeks:.2f} running asset-weeks, {head.failures} faults, {head.worn} worn only",
        f"  trained on {trial.rules.training_h} steps of {step_s:.0f} s; one "
        f"false exceedance in {trial.rules.false_alarm_every_h:,} steps asked for; lead is to {trial.lead_to}",
        f"  {'method':<18}{'alerts':>7}{'false':>7}{'false/week':>12}{'detected':>10}{'worn':>7}"
        f"{'lead h, median':>16}{'least':>9}",
    ]
    for method, one in found.items():
        rate = f"{one.false_alarms_per_running_week:.3f}" if one.running_weeks >= 1 else "–"  # minutes tell no rate
        lead = "–" if one.median_lead_h is None else f"{one.median_lead_h:.2f}"
        least = f"{one.lead_h[0]:.2f}" if one.lead_h else "–"
        lines.append(
            f"  {method:<18}{one.alerts:>7}{one.false_alarms:>7}{rate:>12}{f'{one.detected}/{one.failures}':>10}"
            f"{f'{one.worn_detected}/{one.worn}':>7}{lead:>16}{least:>9}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.condition", description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=60, help="days of the demo plant")
    parser.add_argument("--seeds", type=int, nargs="+", default=[44], help="plants; 44 is the demo's")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with skab_valve and nab_machine_temperature")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {machine.machine()}, scikit-learn {version('scikit-learn')}")
    made: list[Callable[[], Trial]] = [lambda seed=seed: plant(given.days, seed=seed) for seed in given.seeds]
    for name, load in (("skab_valve", skab), ("nab_machine_temperature", nab)):
        folder = given.data / name
        if folder.is_dir():
            made.append(lambda folder=folder, load=load: load(folder))
        else:
            print(f"{name} is not in {given.data}: left out")
    for load in made:
        begun = time.monotonic()
        trial = load()
        decided = decide(trial)
        print(shown(trial, judged(trial, decided)))
        print(f"  {sum(len(s.hours) for s in trial.segments):,} steps, {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
