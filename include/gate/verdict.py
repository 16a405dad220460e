"""Great Expectations' validation results in our words: what was expected, what was seen, which rows failed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from include.gate.report import Result
from include.gate.suites import Suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

SAMPLES = 5
ROWS_CAN_BE_READ = "rows_can_be_read"  # our own verdict on a suite whose SQL fails
EXACT = {"column", "column_list", "column_A", "column_B", "batch_id", "mostly", "row_condition", "condition_parser"}


def result(
    suite: Suite, one: "ExpectationValidationResult", failing: Sequence[dict[str, Any]]
) -> tuple[Result, frozenset[str] | None]:
    """One expectation's result, with the names of the periods of its `failing` rows (None where they name none)."""
    return _result(suite, one, failing), _periods(one, failing)


def unreadable(suite: Suite, message: str) -> Result:
    """The result of a suite whose rows could not even be read: a table or column is gone."""
    return Result(
        suite=suite.table,
        table=suite.table,
        expectation=ROWS_CAN_BE_READ,
        column=None,
        severity="critical",
        success=False,
        observed=message,
        bound="must be readable",
        failing_rows=0,
        sample_keys=(),
        reason="A table or column that the suite reads is missing, so nothing about the batch is known.",
    )


def _result(suite: Suite, one: "ExpectationValidationResult", rows: Sequence[dict[str, Any]]) -> Result:
    config, seen = one.expectation_config, one.result or {}
    failing = 0 if one.success else int(seen.get("unexpected_count") or 0)
    notes = config.notes if isinstance(config.notes, str) else " ".join(config.notes or ())
    return Result(
        suite=suite.table,
        table=suite.table,
        expectation=config.type,
        column=_column(config.kwargs),
        severity=str(getattr(config.severity, "value", config.severity)),
        success=bool(one.success),
        observed=_observed(one, _column(config.kwargs), rows),
        bound=bound(config.type, config.kwargs),
        failing_rows=failing,
        sample_keys=() if one.success else tuple(_samples(rows, _column(config.kwargs))),
        reason=notes,
    )


def _column(kwargs: Mapping[str, Any]) -> str | None:
    if "column" in kwargs:
        return kwargs["column"]
    several = kwargs.get("column_list") or [kwargs[name] for name in ("column_A", "column_B") if name in kwargs]
    return "+".join(several) or None


def bound(expectation: str, kwargs: Mapping[str, Any]) -> str:
    """What was asked for, as the end of a sentence that starts with the column."""
    if expectation.endswith("_not_be_null"):
        words = "must not be null"
    elif expectation.endswith("_to_be_unique"):
        words = "must be unique"
    elif expectation.endswith("_in_set"):
        values = ", ".join(map(str, kwargs["value_set"]))
        words = f"must {'not ' if expectation.endswith('_not_be_in_set') else ''}be one of {values}"
    elif {"min_value", "max_value"} & kwargs.keys():
        what = expectation.removeprefix("expect_").removeprefix("column_").removesuffix("_to_be_between")
        subject = "" if what == "values" else what.replace("_", " ") + " "
        words = f"{subject}must be {_range(kwargs)}"
    else:
        rest = ", ".join(f"{name} {value}" for name, value in kwargs.items() if name not in EXACT)
        words = " ".join([expectation.removeprefix("expect_").replace("_", " "), rest]).strip()
    if (share := kwargs.get("mostly", 1)) != 1:
        words += f" in at least {share * 100:g} % of rows"
    return words


def _range(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    above = "above" if kwargs.get("strict_min") else "at least"
    below = "below" if kwargs.get("strict_max") else "at most"
    if low is not None and high is not None:
        return f"exactly {_text(low)}" if low == high else f"between {_text(low)} and {_text(high)}"
    return f"{above} {_text(low)}" if low is not None else f"{below} {_text(high)}"


def _observed(one: "ExpectationValidationResult", column: str | None, rows: Sequence[dict[str, Any]]) -> str:
    if error := _error(one.exception_info):
        return f"could not be computed: {error}"
    seen = one.result
    if "observed_value" in seen:
        return _text(seen["observed_value"])
    count, total = int(seen.get("unexpected_count") or 0), int(seen.get("element_count") or 0)
    if not count:
        return f"all {total} rows as expected"
    values = [_text(row[column]) for row in _worst_first(rows, column) if row.get(column) is not None]
    examples = ", ".join(dict.fromkeys(values[: SAMPLES * 4]))
    return f"{count} of {total} rows" + (f": {_shortened(examples)}" if examples else "")


def _shortened(text: str, longest: int = 120) -> str:
    if len(text) <= longest:
        return text
    return text[:longest].rpartition(", ")[0] + ", …" if ", " in text[:longest] else text[:longest] + "…"


def _error(info: Mapping[str, Any] | None) -> str | None:
    """The first line of what went wrong; it stands directly in `info`, or one level below by metric."""
    for found in [info or {}, *(v for v in (info or {}).values() if isinstance(v, Mapping))]:
        if found.get("raised_exception"):
            return str(found.get("exception_message")).strip().splitlines()[0]
    return None


def _samples(rows: Sequence[dict[str, Any]], column: str | None) -> Iterable[dict[str, str]]:
    for row in _worst_first(rows, column)[:SAMPLES]:
        yield {name: _text(value) for name, value in row.items()}


def _worst_first(rows: Sequence[dict[str, Any]], column: str | None) -> list[dict[str, Any]]:
    """The largest value first, equal ones by their key, so that the same rows give the same samples."""
    return sorted(rows, key=lambda row: (-_size(row.get(column)), [str(value) for value in row.values()]))


def _size(value: Any) -> float:
    try:
        return abs(float(value))
    except (TypeError, ValueError):
        return -1.0


def _periods(one: "ExpectationValidationResult", rows: Sequence[dict[str, Any]]) -> frozenset[str] | None:
    """The names of the periods that the failing rows are of, where each row says it; else None."""
    if one.success:
        return frozenset()
    if len(rows) < int((one.result or {}).get("unexpected_count") or 1):
        return None
    named = [row.get("shift_id") or row.get("production_date") for row in rows]
    if any(not isinstance(name, (str, date)) for name in named):
        return None
    return frozenset(map(str, named))


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return (plain.rstrip("0").rstrip(".") or "0") if "." in plain else plain
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return " / ".join(map(_text, value))
    return str(value)
