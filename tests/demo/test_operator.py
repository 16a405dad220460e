"""The operator's figures hold together to the last digit and look like an oil field's."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from demo.operator import Config, generate, history, operate
from tests.demo.conftest import AUTUMN

DAY = ["facility_id", "production_date"]


def leaving(rows, product: str) -> pd.Series:
    """What the sales meters of a product measured, by facility and day."""
    meters = rows["meters"].query("meter_role == 'sales' and product == @product", local_dict={"product": product})
    return rows["meter_volumes"].merge(meters, on="meter_id").groupby(DAY)["volume"].sum()


def produced(truth, product: str) -> pd.Series:
    return truth["well_daily"].groupby(DAY)[product].sum()


def used(rows, *kinds: str) -> pd.Series:
    return (
        rows["facility_volumes"].query("use_kind in @kinds", local_dict={"kinds": kinds}).groupby(DAY)["volume"].sum()
    )


def zero_everywhere(difference: pd.Series) -> bool:
    return len(difference) > 2000 and difference.isna().sum() == 0 and (difference == 0).all()


def test_oil_of_the_wells_is_sales_plus_stock_change(rows, truth):
    gauges = rows["tank_gauges"].groupby(DAY)[["opening_stock", "closing_stock"]].sum()
    change = gauges["closing_stock"] - gauges["opening_stock"]

    assert zero_everywhere(produced(truth, "oil") - leaving(rows, "oil") - change)


def test_gas_of_the_wells_is_sales_plus_uses(rows, truth):
    uses = used(rows, "fuel", "flare", "vent", "gas_injection")

    assert zero_everywhere(produced(truth, "gas") - leaving(rows, "gas") - uses)


def test_water_leaves_by_its_meter_and_injection_is_counted_at_the_facility(rows, truth):
    injected = used(rows, "water_injection")

    assert zero_everywhere(produced(truth, "water") - leaving(rows, "water"))
    assert len(injected) > 300 and (produced(truth, "water_injected").loc[injected.index] == injected).all()


def test_closing_stock_is_the_opening_stock_of_the_next_day(rows):
    gauges = rows["tank_gauges"].sort_values(["tank_id", "production_date"])
    before = gauges.groupby("tank_id")["closing_stock"].shift()

    assert (gauges["opening_stock"] == before)[before.notna()].all()
    assert gauges["closing_stock"].min() >= 0


def test_the_run_tickets_of_a_contract_day_add_up_to_the_oil_sales_meter(rows):
    at = rows["run_tickets"]["ticket_at"]
    day = (at - timedelta(hours=7)).dt.date.rename("production_date")
    tickets = rows["run_tickets"].groupby(["facility_id", day])["net_volume"].sum()
    sales = leaving(rows, "oil").loc[tickets.index.get_level_values(0).unique()]

    assert (tickets.reindex(sales.index, fill_value=Decimal(0)) == sales).all()


def test_factors_are_near_one_and_the_readings_are_not_the_truth(rows, truth):
    factors = truth["facility_daily"]["factor"].dropna()

    assert factors.between(0.9, 1.1).all()
    assert factors.std() > 0.005
    readings = rows["daily_readings"].merge(truth["well_daily"], on=["well_id", "production_date"])
    assert (readings["oil_volume"] != readings["oil"]).mean() > 0.5


def test_a_test_rate_times_hours_is_a_usable_theory(rows, truth):
    """The last valid test carried forward must land near the measured volume, or allocation by tests is senseless."""
    details = rows["well_test_details"]
    valid = details[(details["duration_h"] >= 4) & (details["stabilisation_h"] >= 6)]["well_test_id"]
    tests = rows["well_tests"][
        rows["well_tests"]["id"].isin(valid) & ~rows["well_tests"]["well_id"].str.startswith("NOR")
    ]
    truth_rows = truth["well_daily"].assign(at=lambda t: pd.to_datetime(t["production_date"]) + pd.Timedelta(hours=23))
    both = pd.merge_asof(
        truth_rows.astype({"at": "datetime64[us]"}).sort_values("at"),
        tests.sort_values("dt")[["well_id", "dt", "oil_rate"]],
        left_on="at",
        right_on="dt",
        by="well_id",
    ).dropna(subset="oil_rate")
    theory = both["oil_rate"].astype(float) * both["hours_on"].astype(float) / 24
    factor = both["oil"].astype(float).groupby(both["facility_id"]).sum() / theory.groupby(both["facility_id"]).sum()

    assert len(factor) >= 6 and factor.between(0.85, 1.1).all()


def test_working_interests_sum_to_one_and_net_revenue_is_no_more(rows):
    decks = rows["ownership_decks"].fillna({"effective_to": datetime(2100, 1, 1).date()})
    by_owner = decks.pivot_table(
        index=["well_id", "effective_from", "owner_name"],
        columns="interest_type",
        values="decimal_interest",
        aggfunc="sum",
    )

    assert (by_owner.groupby(["well_id", "effective_from"])["WI"].sum() == 1).all()
    assert (by_owner["NRI"] <= by_owner["WI"]).all()
    assert decks.groupby("well_id")["effective_from"].nunique().max() == 2


def test_every_journal_balances_to_the_cent(rows):
    entries = rows["ledger_entries"].groupby("journal_id")[["debit_usd", "credit_usd"]].sum()

    assert len(entries) > 500
    assert (entries["debit_usd"] == entries["credit_usd"]).all()
    assert (entries["debit_usd"] > 0).all()


def test_hours_on_follow_the_clock_and_the_full_stops(rows, operator):
    hours = rows["daily_readings"].merge(rows["wells"], on="well_id").astype({"hours_on": float})
    longest = hours.groupby(["field_code", "production_date"])["hours_on"].max()

    assert longest["EAGLE"].loc[datetime(2026, 3, 7).date()] == 23  # the contract day that holds the night of 8 March
    assert longest["EAGLE"].loc[datetime(2025, 11, 1).date()] == 25
    assert longest["NORDLYS"].loc[datetime(2026, 3, 29).date()] == 23
    assert longest["NORDLYS"].loc[datetime(2026, 10, 25).date()] == 25
    assert hours["hours_on"].between(0, 25).all()
    stopped = hours[(hours["hours_on"] == 0)]
    assert len(stopped) > 10 and (stopped["oil_volume"].fillna(0) == 0).all()


def test_overlapping_events_cost_no_hour_twice(operator):
    lost, on = operator.downtime.hours_lost, operator.downtime.hours_on
    length = operator.days.hours[operator.network.field].T

    assert (lost <= length).all() and (on <= length).all()
    assert (lost + on >= length).all()  # they differ where a well was choked: up, but not at full rate
    assert (lost + on > length).any()


def test_a_choked_well_stays_on_and_makes_less(operator):
    event = operator.downtime.events.query("fraction == 0.4 and reason == 'CHOKED_BACK'").iloc[
        -1
    ]  # 30 hours from 09:00
    well, day = int(event["asset"]), int(event["day"])

    assert event["end"] - event["start"] == 30 * 4
    assert operator.downtime.hours_on[day, well] == 24
    assert operator.downtime.hours_lost[day, well] == pytest.approx(0.4 * 22)


def test_events_of_every_kind_are_there(rows):
    events = rows["downtime_events"]
    edge = events["started_at"].dt.normalize() + pd.Timedelta(hours=7)

    assert events["ended_at"].isna().any()
    assert (events["fraction_down"] < 1).any()
    assert set(events["asset_type"]) == {"well", "facility"}
    assert ((events["started_at"] < edge) & (events["ended_at"] > edge)).any()


def test_water_cut_rises_and_oil_declines(truth):
    days = truth["well_daily"].astype({"oil": float, "water": float})
    first_wells = days.groupby("well_id")["production_date"].transform("min") == days["production_date"].min()
    month = pd.to_datetime(days["production_date"]).dt.to_period("Q")
    by_quarter = days[first_wells].groupby(month[first_wells])[["oil", "water"]].mean()
    cut = by_quarter["water"] / by_quarter.sum(axis=1)

    assert cut.iloc[-2] > cut.iloc[1] + 0.05
    assert by_quarter["oil"].iloc[-2] < 0.95 * by_quarter["oil"].iloc[1]


def test_some_wells_change_their_facility_and_links_never_overlap(rows):
    links = rows["network_links"].query("from_type == 'well'").sort_values(["from_id", "effective_from"])
    next_from = links.groupby("from_id")["effective_from"].shift(-1)

    assert next_from.notna().sum() >= 2
    assert (links["effective_to"] == next_from)[next_from.notna()].all()
    assert links.groupby("from_id").tail(1)["effective_to"].isna().all()


def test_local_times_name_one_instant(rows):
    for name, columns in {
        "downtime_events": ["started_at", "ended_at"],
        "run_tickets": ["ticket_at"],
        "well_tests": ["dt"],
    }.items():
        for column in columns:
            for zone in ("America/Chicago", "Europe/Oslo"):
                local = rows[name][column].dropna()
                owner = rows[name].loc[local.index].iloc[:, :3].astype(str).agg(" ".join, axis=1)
                here = local[owner.str.contains("NOR") == (zone == "Europe/Oslo")]
                instants = pd.DatetimeIndex(here).tz_localize(zone, ambiguous="raise", nonexistent="raise")
                # NORDLYS sells through a pipeline: it alone has no run tickets
                assert (len(instants) == 0) == ((name, zone) == ("run_tickets", "Europe/Oslo"))


def test_the_same_seed_gives_the_same_operator_and_another_seed_another():
    arguments = {"days": 20, "wells": 8, "as_of": AUTUMN}

    assert generate(**arguments, seed=1) == generate(**arguments, seed=1)
    assert generate(**arguments, seed=1)["daily_readings"] != generate(**arguments, seed=2)["daily_readings"]


def test_a_later_look_only_adds():
    config, _ = history(days=60, wells=12, seed=3, as_of=AUTUMN)
    before = operate(config, AUTUMN).tables()
    after = operate(config, AUTUMN + timedelta(days=9)).tables()

    for name, table in before.items():
        old, new = table.to_pandas(), after[name].to_pandas()
        key = old.columns[0]
        new = new.set_index(key).loc[old[key]].reset_index()
        settled = old.drop(columns=[c for c in ("ended_at", "closed_at", "cost_usd", "recorded_at") if c in old])
        pd.testing.assert_frame_equal(settled, new[settled.columns], obj=name)
    assert after["daily_readings"].num_rows == before["daily_readings"].num_rows + 9 * 12


@pytest.mark.parametrize(("hour", "last"), [(12, "2026-07-09"), (11, "2026-07-08")])
def test_data_ends_with_the_last_contract_day_that_is_over(hour, last):
    """07:00 in Chicago in July is 12:00 UTC."""
    config = Config(seed=1, start=datetime(2026, 7, 1).date(), days=9, wells=6)
    readings = operate(config, datetime(2026, 7, 10, hour, tzinfo=UTC)).tables()["daily_readings"].to_pandas()

    assert str(readings[readings["well_id"].str.startswith("EAG")]["production_date"].max()) == last
    assert str(readings[readings["well_id"].str.startswith("NOR")]["production_date"].max()) == "2026-07-09"
