"""What a gate found: one result per expectation, and the report that on-call reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Result:
    """One expectation's verdict on one table."""

    suite: str
    table: str
    expectation: str  # expect_column_values_to_be_between
    column: str | None
    severity: Severity
    success: bool
    observed: str
    bound: str
    failing_rows: int
    sample_keys: tuple[dict[str, str], ...]  # of up to five failing rows: key, and the value found
    reason: str  # why the bound is what it is
    accepted_by: str | None = None
    accepted_why: str | None = None

    @property
    def pattern(self) -> str:
        """The name by which this very expectation is accepted: `table.expectation[.column]`."""
        return ".".join(part for part in (self.table, self.expectation, self.column) if part)

    def __str__(self) -> str:
        column = f".{self.column}" if self.column else ""
        line = f"{self.table}{column} {self.bound}: {self.observed}"
        return f"{line} (accepted by {self.accepted_by}: {self.accepted_why})" if self.accepted_by else line


@dataclass(frozen=True)
class Report:
    """All results of one layer of one close."""

    pack: str
    calendar: str
    window: str  # "2026-11-23" or "2026-10-20…2026-11-23"
    version: int
    run_id: str
    layer: str
    results: tuple[Result, ...]
    data_docs: str = ""  # path of the run's page

    @property
    def failures(self) -> tuple[Result, ...]:
        """Critical expectations that failed and that nobody accepted: these stop the close."""
        return tuple(r for r in self.results if not r.success and r.severity == "critical" and not r.accepted_by)

    @property
    def warnings(self) -> tuple[Result, ...]:
        return tuple(r for r in self.results if not r.success and r.severity == "warning" and not r.accepted_by)

    @property
    def accepted(self) -> tuple[Result, ...]:
        return tuple(r for r in self.results if not r.success and r.accepted_by)

    @property
    def success(self) -> bool:
        return not self.failures

    def what_on_call_needs(self) -> str:
        """Everything needed to decide, in the order in which it is needed; no other page has to be open."""
        blocked = {
            "landing": "Nothing was built or published",
            "stage": "No mart was built or published",
            "mart": "The marts were built but not published",
        }[self.layer]
        failed = self.failures
        lines = [
            f"The {self.layer} gate of {self.pack} stopped {self.window}@{self.calendar} version {self.version}: "
            f"{_count(len(failed), 'critical expectation')} failed, {_count(len(self.warnings), 'warning')}, "
            f"{len(self.accepted)} accepted.",
            f"{blocked}; readers keep what was published before.",
        ]
        for number, result in enumerate(failed, start=1):
            lines += ["", f"{number}. {result.table}: {result.column or 'the table'} {result.bound}", *_details(result)]
        lines += [
            "",
            "What to do",
            "  wrong at the source   correct it there, then trigger this close again; the new version reads it",
            f"  wrong rule or model   fix it, then clear {self._build_task()} of this run (with downstream tasks)",
            f"  right after all       accept it for this close, then clear gate_{self.layer} of this run:",
        ]
        lines += [f"    {self._accept_command(result)}" for result in failed]
        if self.data_docs:
            lines += ["", f"All results: {self.data_docs}"]
        return "\n".join(lines)

    def _build_task(self) -> str:
        return {"landing": "gate_landing", "stage": "stage", "mart": "mart"}[self.layer]

    def _accept_command(self, result: Result) -> str:
        days = " ".join(f"--{flag} {day}" for flag, day in zip(("from", "to"), self.window.split("…"), strict=False))
        given = f"--calendar {self.calendar} {days} --pattern '{result.pattern}' --why '…'"
        return f'make accept ARGS="add {given}"'


def _details(result: Result) -> Iterable[str]:
    yield f"   observed  {result.observed}"
    yield f"   reason    {result.reason}"
    for row in result.sample_keys:
        yield "   row       " + ", ".join(f"{name} {value}" for name, value in row.items())
    if result.failing_rows > len(result.sample_keys) > 0:
        yield f"   …and {result.failing_rows - len(result.sample_keys)} more"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
