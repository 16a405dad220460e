"""Prices, ownership, taxes, and a double-entry ledger whose every journal balances to the cent."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.balance import Balance
from demo.days import Days
from demo.exact import decimals, stream
from demo.network import FIELDS, Network
from demo.words import long_text, sentence

PRODUCTS = ("oil", "gas")
BASE_PRICE = {"bbl": 71.0, "mcf": 2.85, "sm3 oil": 452.0, "sm3 gas": 0.34}
OWNERS = ("Hill Country Energy", "Pecos Partners", "Rio Bravo Oil", "Skagerrak Petroleum", "Nordfjord Energi")
ACCOUNTS = (
    ("1000", "Cash", "asset"), ("1200", "Accounts receivable: sales", "asset"),
    ("2000", "Accounts payable", "liability"), ("2100", "Royalties payable", "liability"),
    ("2200", "Production taxes payable", "liability"), ("4000", "Oil revenue", "revenue"),
    ("4100", "Gas revenue", "revenue"), ("5000", "Royalty expense", "expense"), ("5100", "Production taxes", "expense"),
    ("6000", "Power", "expense"), ("6100", "Chemicals", "expense"), ("6200", "Labour", "expense"),
)  # fmt: skip
# journal, line: account and side; the amounts of a journal's debits and credits are equal by construction
SALE, COST, RECEIPT = 0, 1, 2
LINES = (
    (SALE, "1200", "debit", "receivable"), (SALE, "4000", "credit", "oil"), (SALE, "4100", "credit", "gas"),
    (SALE, "5000", "debit", "royalty"), (SALE, "2100", "credit", "royalty"),
    (SALE, "5100", "debit", "tax"), (SALE, "2200", "credit", "tax"),
    (COST, "6000", "debit", "power"), (COST, "6100", "debit", "chemicals"), (COST, "6200", "debit", "labour"),
    (COST, "2000", "credit", "cost"),
    (RECEIPT, "1000", "debit", "receivable"), (RECEIPT, "1200", "credit", "receivable"),
)  # fmt: skip
MEMOS = {SALE: "Production sales", COST: "Lease operating cost", RECEIPT: "Payment received"}
ROYALTY = {"EAGLE": 0.20, "MESQUITE": 0.25, "NORDLYS": 0.0}
TAXES = (
    ("EAGLE", "severance", "oil", 0.046), ("EAGLE", "severance", "gas", 0.075),
    ("MESQUITE", "severance", "oil", 0.046), ("MESQUITE", "severance", "gas", 0.075),
    ("NORDLYS", "area fee", "oil", 0.012), ("NORDLYS", "area fee", "gas", 0.012),
)  # fmt: skip


def money_tables(network: Network, days: Days, result: Balance) -> dict[str, pa.Table]:
    months = _months(days)
    prices = _prices(network, len(months))
    return {
        "prices": _price_rows(months, prices, days),
        "ownership_decks": _decks(network, days),
        "taxes": pa.table(
            {
                "tax_id": pa.array(range(1, len(TAXES) + 1), pa.int64()),
                "field_code": [t[0] for t in TAXES],
                "tax_name": [t[1] for t in TAXES],
                "product": [t[2] for t in TAXES],
                "tax_rate": decimals(np.rint([t[3] * 1e6 for t in TAXES]), 6, 9, 6),
                "effective_from": [date(2020, 1, 1)] * len(TAXES),
                "effective_to": pa.array([None] * len(TAXES), pa.date32()),
            }
        ),
        "ledger_accounts": pa.table(
            dict(
                zip(("account_no", "account_name", "account_kind"), map(list, zip(*ACCOUNTS, strict=True)), strict=True)
            )
        ),
        "ledger_entries": _ledger(network, days, result, months, prices),
    }


def _months(days: Days) -> pd.PeriodIndex:
    return pd.period_range(days.start, days.as_of.date(), freq="M")


def _prices(network: Network, months: int) -> np.ndarray:
    """USD per unit, rounded to the cent or to a hundredth of one: month by field by product."""
    walk = np.cumsum(stream(network.seed, "prices").standard_normal((months, 2)), axis=0)
    level = np.exp(0.035 * walk)
    base = np.array(
        [
            [BASE_PRICE["sm3 oil"], BASE_PRICE["sm3 gas"]]
            if f.unit_system == "metric"
            else [BASE_PRICE["bbl"], BASE_PRICE["mcf"]]
            for f in FIELDS
        ]
    )
    return np.round(level[:, None, :] * base, 4)


def _price_rows(months: pd.PeriodIndex, prices: np.ndarray, days: Days) -> pa.Table:
    month, field, product = (a.ravel() for a in np.indices(prices.shape))
    units = [f"usd/{FIELDS[f].gas_unit if p else FIELDS[f].liquid_unit}" for f, p in zip(field, product, strict=True)]
    return pa.table(
        {
            "price_id": (month * len(FIELDS) + field) * len(PRODUCTS) + product + 1,
            "field_code": [FIELDS[f].code for f in field],
            "product": [PRODUCTS[p] for p in product],
            "effective_on": pa.array(months.start_time[month].date),
            "price_usd": decimals(np.rint(prices.ravel() * 1e6), 6, 14, 6),
            "price_unit": units,
        }
    )


def _decks(network: Network, days: Days) -> pa.Table:
    """Working interests of a well sum to exactly 1 at any time; net revenue is the working interest less royalty."""
    random, rows = stream(network.seed, "ownership"), []
    for w, well_id in enumerate(network.well_ids):
        since = min(network.first_production(w), days.start)
        sold = days.date(90 + 3 * w) if w % 10 == 3 else None  # the day on which the well changed hands
        for first, end in [(since, sold), (sold, None)] if sold else [(since, None)]:
            owners = random.permutation(OWNERS)[: 2 + w % 3]
            cuts = np.sort(random.choice(np.arange(5, 100), len(owners) - 1, replace=False)) * 1_000_000
            interests = np.diff(np.concatenate([[0], cuts, [100_000_000]]))
            net = np.floor(interests * (1 - ROYALTY[FIELDS[network.field[w]].code]))
            rows += [
                (well_id, o, kind, int(v), first, end)
                for o, wi, nri in zip(owners, interests, net, strict=True)
                for kind, v in (("WI", wi), ("NRI", nri))
            ]
    well, owner, kind, interest, first, end = zip(*rows, strict=True)
    return pa.table(
        {
            "deck_id": pa.array(range(1, len(rows) + 1), pa.int64()),
            "well_id": list(well),
            "owner_name": [str(o) for o in owner],
            "interest_type": list(kind),
            "decimal_interest": decimals(np.array(interest), 8, 9, 8),
            "effective_from": list(first),
            "effective_to": pa.array(end, pa.date32()),
        }
    )


def _ledger(network: Network, days: Days, result: Balance, months: pd.PeriodIndex, prices: np.ndarray) -> pa.Table:
    month_of_day = (pd.PeriodIndex(days.dates, freq="M") - months[0]).map(lambda offset: offset.n).to_numpy()
    cents = _monthly_cents(network, result, months, month_of_day, prices)
    parts = []
    for line, (journal, account, side, amount) in enumerate(LINES):
        month, well = np.nonzero(cents["receivable"] + cents["cost"])
        posted = (months[month] + (2 if journal == RECEIPT else 1)).start_time + pd.Timedelta(
            days=24 if journal == RECEIPT else 4
        )
        number = (month * len(network.well_ids) + well) * 10 + journal
        value = cents[amount][month, well]
        parts.append(
            pd.DataFrame(
                {
                    "entry": number * 100 + line,
                    "journal": number + 1,
                    "posted": posted,
                    "account": account,
                    "well": well,
                    "debit": value if side == "debit" else 0,
                    "credit": value if side == "credit" else 0,
                    "kind": journal,
                    "month": month,
                }
            )
        )
    rows = pd.concat(parts)
    rows = rows[(rows["posted"].dt.date <= days.as_of.date()) & (rows["debit"] + rows["credit"] > 0)].sort_values(
        "entry"
    )
    return pa.table(
        {
            "entry_id": rows["entry"].to_numpy() + 1,
            "journal_id": rows["journal"].to_numpy(),
            "posted_on": pa.array(rows["posted"].dt.date),
            "account_no": pa.array(rows["account"].astype(str).to_numpy(), pa.string()),
            "well_id": pa.array(np.array(network.well_ids)[rows["well"]]),
            "debit_usd": decimals(rows["debit"], 2, 18, 2),
            "credit_usd": decimals(rows["credit"], 2, 18, 2),
            "memo": pa.array(
                [
                    _memo(network.seed, *key)
                    for key in zip(rows["entry"], rows["kind"], months[rows["month"]].astype(str), strict=True)
                ],
                pa.string(),
            ),
        }
    )


def _monthly_cents(network: Network, result: Balance, months, month_of_day, prices) -> dict[str, np.ndarray]:
    """Month by well. A month that is not over yet is computed too, but its journals are not posted yet."""
    shape = (len(months), len(network.well_ids))
    value = {}
    for n, product in enumerate(PRODUCTS):
        volume = np.zeros(shape, dtype=np.int64)
        np.add.at(volume, month_of_day, result.true[product])
        value[product] = np.rint(volume / 1000 * prices[:, network.field, n] * 100).astype(np.int64)
    royalty = np.array([ROYALTY[FIELDS[f].code] for f in network.field])
    rates = {
        p: np.array([next(t[3] for t in TAXES if t[0] == FIELDS[f].code and t[2] == p) for f in network.field])
        for p in PRODUCTS
    }
    gross = value["oil"] + value["gas"]
    u = stream(network.seed, "costs").random((*shape, 3))
    costs = {
        kind: np.rint((900 + 5200 * u[..., k] ** 2) * 100).astype(np.int64) * (gross > 0)
        for k, kind in enumerate(("power", "chemicals", "labour"))
    }
    return {
        **value,
        **costs,
        "receivable": gross,
        "royalty": np.rint(gross * royalty).astype(np.int64),
        "tax": np.rint(value["oil"] * rates["oil"] + value["gas"] * rates["gas"]).astype(np.int64),
        "cost": sum(costs.values()),
    }


def _memo(seed: int, entry: int, kind: int, month: str) -> str:
    if entry % 1009 == 0:
        return long_text(np.random.default_rng([seed, 3, entry]), 9000)
    if entry % 50 == 1:
        return sentence(np.random.default_rng([seed, 3, entry]))
    return f"{MEMOS[kind]} {month}"
