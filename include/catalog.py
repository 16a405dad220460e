"""What is declared, read from dbt's YAML and seeds: packs, sources, tables, feeds, calendars and marts.

A pack is a folder below `dbt/models/` other than `shared`; everything else is found by listing. Reading is
light on purpose (YAML and CSV alone), since every DAG file does it while Airflow parses.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from include.contract_day import ContractDay
from include.errors import DeclarationError
from include.periods import Days, LocalSpan, Periods, Shifts, weekdays
from include.settings import ROOT

DBT = ROOT / "dbt"
MODELS = DBT / "models"
Drift = Literal["evolve", "freeze", "quarantine"]


@dataclass(frozen=True)
class Table:
    """One source table as declared in `meta.land`."""

    source: str
    name: str
    identifier: str  # its name in namespace raw
    pack: str
    key: tuple[str, ...]
    owner: str
    zone: str | None = None  # IANA name of its local times, or "@field"
    zone_lookup: dict[str, Any] = field(default_factory=dict, hash=False)
    local_times: tuple[str, ...] = ()
    drift: dict[str, Drift] = field(default_factory=lambda: {"default": "evolve"}, hash=False)
    schema: str = "public"  # its schema in the source database
    description: str = ""

    @property
    def uri(self) -> str:
        return f"iceberg://raw/{self.identifier}"

    def drift_of(self, column: str) -> Drift:
        """What to do when `column` appears, changes type or goes."""
        return self.drift.get(column, self.drift.get("default", "evolve"))


@dataclass(frozen=True)
class Source:
    """One source system whose tables arrive by change data capture."""

    name: str
    pack: str
    owner: str
    every: str  # cron
    connector: str  # file stem in include/land/connectors
    tables: tuple[Table, ...]
    error_after_minutes: int | None = None  # older, and what has landed is not closed on (`freshness.error_after`)

    def table(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        known = [table.name for table in self.tables]
        raise DeclarationError(f"Source {self.name!r} declares no table {name!r}; it has {known}")


FEED_TYPES = ("string", "long", "boolean", "date", "timestamp", "hour_range", "decimal")
FEED_OPTIONS = {
    "delimiter",
    "decimal",
    "thousands",
    "encoding",
    "date_format",
    "nulls",
    "sheet",
    "skip_rows",
    "skip_after_header",
}
COLUMN_OPTIONS = {"date_format", "day_of"}
LOCAL_TYPES = ("timestamp", "hour_range")  # local times: raw gets the UTC instant as `<column>_utc` beside them


@dataclass(frozen=True)
class FeedColumn:
    """One column of a partner file. `name` is the column in raw, `header` the heading in the file."""

    name: str
    header: str
    type: str  # one of FEED_TYPES, or "decimal(p, s)"; plain decimal is decimal(38, 18)
    unit: str | None = None
    required: bool = False  # a row without a value goes to quarantine
    optional: bool = False  # a file without the column is taken all the same
    aliases: tuple[str, ...] = ()  # other headings of the same column
    from_name: bool = False  # taken from the file name, by the pattern's group of this name
    options: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Feed:
    """One kind of partner file as declared in `meta.feed`; `options` holds what only the parser needs."""

    source: str
    name: str
    identifier: str
    pack: str
    owner: str
    pattern: str  # regex on the file name; named groups become columns
    format: tuple[str, ...]  # csv, xlsx
    columns: tuple[FeedColumn, ...]
    key: tuple[str, ...]
    zone: str
    calendar: str
    every: str  # cron: how often the inbox is looked through
    cadence: str | None = None  # "day" where a file is due for each contract day
    deadline: str | None = None  # local time by which it is due
    drift: dict[str, Drift] = field(default_factory=lambda: {"default": "evolve"}, hash=False)
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    description: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.source}.{self.name}"

    @property
    def uri(self) -> str:
        return f"iceberg://raw/{self.identifier}"

    def matches(self, file_name: str) -> re.Match[str] | None:
        return re.fullmatch(self.pattern, file_name)

    def drift_of(self, column: str) -> Drift:
        """What to do with a column that the file has and the declaration has not."""
        return self.drift.get(column, self.drift.get("default", "evolve"))


@dataclass(frozen=True)
class Calendar:
    """A site's contract day, or its shifts where it has a pattern; either is closed `grace_minutes` after its end.

    The contract day starts at `contract_hour` local time in `zone`.
    """

    name: str
    pack: str
    zone: str
    contract_hour: int
    grace_minutes: int
    label: str
    shifts: Shifts | None = None

    @property
    def periods(self) -> Periods:
        """What a close of this calendar closes."""
        return self.shifts or Days(ContractDay(self.zone, self.contract_hour))

    @property
    def grain(self) -> Literal["daily", "shift"]:
        return "shift" if self.shifts else "daily"

    @property
    def dag_id(self) -> str:
        """The DAG that closes it."""
        return f"{self.pack}_{self.grain}_close_{self.name}"


@dataclass(frozen=True)
class Mart:
    """A published model. A close replaces `calendar = X` and the `window` of its periods ('all': all of it)."""

    name: str
    pack: str
    window: str  # a date column, a text column of period names, "month" (first day of month) or "all"
    key: tuple[str, ...]
    columns: dict[str, str] = field(hash=False)  # name -> dbt data_type
    owner: str = ""
    description: str = ""

    @property
    def is_by_name(self) -> bool:
        """Whether its window column holds the names of periods, not their dates."""
        return self.columns.get(self.window, "").lower() in ("varchar", "text", "string")


def packs() -> tuple[str, ...]:
    """The verticals: every folder of `dbt/models/` but `shared`."""
    return tuple(sorted(p.name for p in MODELS.iterdir() if p.is_dir() and p.name != "shared"))


def _yaml_files(folder: Path, suffix: str) -> Iterator[Path]:
    yield from sorted(folder.rglob(f"*{suffix}"))


@cache
def _load(path: Path, modified_ns: int) -> dict[str, Any]:
    try:
        return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except yaml.YAMLError as error:
        raise DeclarationError(f"{path.relative_to(ROOT)} is not valid YAML: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """What a YAML file of the project says, read again only when it has changed.

    Raises:
        DeclarationError: The file is not valid YAML.
    """
    return _load(path, path.stat().st_mtime_ns)


def _meta(entry: dict[str, Any]) -> dict[str, Any]:
    return entry.get("config", {}).get("meta", {}) or entry.get("meta", {})


def _required(entry: dict[str, Any], name: str, where: str) -> Any:
    if name not in entry:
        raise DeclarationError(f"{where}: {name!r} is missing")
    return entry[name]


def _source_entries() -> Iterator[tuple[str, dict[str, Any], str]]:
    for pack in packs():
        for path in _yaml_files(MODELS / pack / "staging", "__sources.yml"):
            for source in read_yaml(path).get("sources", []):
                yield pack, source, str(path.relative_to(ROOT))


def sources() -> tuple[Source, ...]:
    """Every source system that arrives by change data capture, in order of name."""
    found = []
    for pack, entry, where in _source_entries():
        land = _meta(entry).get("land")
        if land is None:
            continue
        name = entry["name"]
        tables = []
        for t in entry.get("tables", []):
            own = _meta(t).get("land", {})
            spot = f"{where}: {name}.{t['name']}"
            tables.append(
                Table(
                    source=name,
                    name=t["name"],
                    identifier=t.get("identifier", f"{name}__{t['name']}"),
                    pack=pack,
                    key=tuple(_required(own, "key", spot)),
                    owner=own.get("owner", land["owner"]),
                    zone=own.get("zone"),
                    zone_lookup=own.get("zone_lookup", {}),
                    local_times=tuple(own.get("local_times", ())),
                    drift=own.get("drift", {"default": "evolve"}),
                    schema=own.get("schema", "public"),
                    description=t.get("description", ""),
                )
            )
        found.append(
            Source(
                name=name,
                pack=pack,
                owner=_required(land, "owner", f"{where}: {name}"),
                every=_required(land, "every", f"{where}: {name}"),
                connector=land.get("connector", name),
                tables=tuple(tables),
                error_after_minutes=_minutes(entry.get("config", {}).get("freshness", {}).get("error_after")),
            )
        )
    return tuple(sorted(found, key=lambda s: s.name))


def _minutes(period: dict[str, Any] | None) -> int | None:
    return period and period["count"] * {"minute": 1, "hour": 60, "day": 1440}[period["period"]]


def source(name: str) -> Source:
    """The declared source `name`; raises `DeclarationError` with the known names."""
    for found in sources():
        if found.name == name:
            return found
    raise DeclarationError(f"No source {name!r} is declared; known: {[s.name for s in sources()]}")


def feeds() -> tuple[Feed, ...]:
    """Every kind of partner file, in order of name."""
    found = []
    for pack, entry, where in _source_entries():
        shared = _meta(entry).get("feed", {})
        for t in entry.get("tables", []):
            own = _meta(t).get("feed")
            if own is None:
                continue
            spot = f"{where}: {entry['name']}.{t['name']}"
            merged = {**shared, **own}
            columns = tuple(_feed_column(name, c, spot) for name, c in _required(merged, "columns", spot).items())
            known = {f.name for f in fields(Feed)} - {"options"}
            feed_calendar = _required(merged, "calendar", spot)
            formats = merged.get("format", "csv")
            declared = Feed(
                source=entry["name"],
                name=t["name"],
                identifier=t.get("identifier", f"{entry['name']}__{t['name']}"),
                pack=pack,
                owner=_required(merged, "owner", spot),
                pattern=_required(merged, "pattern", spot),
                format=(formats,) if isinstance(formats, str) else tuple(formats),
                columns=columns,
                key=tuple(_required(merged, "key", spot)),
                zone=merged.get("zone") or calendar(feed_calendar).zone,
                calendar=feed_calendar,
                every=merged.get("every", "*/5 * * * *"),
                cadence=merged.get("cadence"),
                deadline=merged.get("deadline"),
                drift=merged.get("drift", {"default": "evolve"}),
                options={k: v for k, v in merged.items() if k not in known},
                description=t.get("description", ""),
            )
            _check_feed(declared, spot)
            found.append(declared)
    return tuple(sorted(found, key=lambda f: f.full_name))


def feed(full_name: str) -> Feed:
    """The feed `<source>.<table>`; raises `DeclarationError` with the known names."""
    for found in feeds():
        if found.full_name == full_name:
            return found
    raise DeclarationError(f"No feed {full_name!r} is declared; known: {[f.full_name for f in feeds()]}")


def _feed_column(name: str, entry: dict[str, Any] | str, where: str) -> FeedColumn:
    entry = {"type": entry} if isinstance(entry, str) else dict(entry)
    if "type" not in entry:
        raise DeclarationError(f"{where}: column {name!r} has no type")
    headers = entry.pop("header", name)
    headers = [headers] if isinstance(headers, str) else headers
    return FeedColumn(
        name=name,
        header=str(headers[0]),
        type=str(entry.pop("type")),
        unit=entry.pop("unit", None),
        required=entry.pop("required", False),
        optional=entry.pop("optional", False),
        aliases=tuple(str(h) for h in headers[1:]),
        from_name=entry.pop("from", None) == "name",
        options=entry,
    )


def _check_feed(feed: Feed, where: str) -> None:
    """Raise `DeclarationError` for a feed that could never land."""
    try:
        groups = set(re.compile(feed.pattern).groupindex)
    except re.error as error:
        raise DeclarationError(f"{where}: pattern {feed.pattern!r} is not a regular expression: {error}") from error
    if unknown := set(feed.format) - {"csv", "xlsx"}:
        raise DeclarationError(f"{where}: format {sorted(unknown)} is not csv or xlsx")
    if unknown := set(feed.options) - FEED_OPTIONS:
        raise DeclarationError(f"{where}: {sorted(unknown)} is no option of a feed; known: {sorted(FEED_OPTIONS)}")
    names = {c.name for c in feed.columns}
    for column in feed.columns:
        if unknown := set(column.options) - COLUMN_OPTIONS:
            known = sorted(COLUMN_OPTIONS | {"header", "type", "unit", "required", "optional", "from"})
            raise DeclarationError(f"{where}: column {column.name!r} has {sorted(unknown)}; known: {known}")
        if column.type not in FEED_TYPES and not re.fullmatch(r"decimal\(\d+, ?\d+\)", column.type):
            raise DeclarationError(f"{where}: column {column.name!r} has type {column.type!r}; known: {FEED_TYPES}")
        if column.from_name and column.name not in groups:
            raise DeclarationError(f"{where}: column {column.name!r} is `from: name`, the pattern has no such group")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", column.name):
            raise DeclarationError(f"{where}: column {column.name!r} is not snake_case; a heading goes into `header:`")
    if lost := groups - {c.name for c in feed.columns if c.from_name}:
        raise DeclarationError(f"{where}: the pattern's groups {sorted(lost)} need a column with `from: name` each")
    instants = {f"{c.name}_utc" for c in feed.columns if c.type in LOCAL_TYPES}
    if lost := set(feed.key) - names - instants:
        raise DeclarationError(f"{where}: key {sorted(lost)} is no column; columns: {sorted(names | instants)}")


def calendars(pack: str | None = None) -> tuple[Calendar, ...]:
    """The calendars of one pack, or of all, from `dbt/seeds/<pack>/<pack>_calendars.csv`.

    One with rows in `<pack>_shifts.csv` is closed by shift; `<pack>_breaks.csv` and `<pack>_holidays.csv` add to it.
    """
    found = []
    for name in [pack] if pack else packs():
        for path, row in _seed_rows(name, "calendars"):
            try:
                one = Calendar(
                    name=row["calendar"],
                    pack=name,
                    zone=row["zone"],
                    contract_hour=int(row["contract_hour"]),
                    grace_minutes=int(row["grace_minutes"]),
                    label=row.get("label") or row["calendar"],
                    shifts=_shifts(name, row["calendar"], row["zone"]),
                )
            except (KeyError, ValueError) as error:
                raise DeclarationError(f"{path.relative_to(ROOT)}: row {row}: {error!r}") from error
            found.append(one)
    return tuple(found)


def _shifts(pack: str, calendar_name: str, zone: str) -> Shifts | None:
    """The shift pattern of a calendar; None where it has none."""
    spans = _local_spans(pack, "shifts", calendar_name, "shift_name")
    if not spans:
        return None
    holidays = set()
    for path, row in _seed_rows(pack, "holidays"):
        try:
            if row["calendar"] == calendar_name:
                holidays.add(date.fromisoformat(row["date"]))
        except (KeyError, ValueError) as error:
            raise DeclarationError(f"{path.relative_to(ROOT)}: row {row}: {error!r}") from error
    found = Shifts(zone, spans, _local_spans(pack, "breaks", calendar_name, "break_name"), frozenset(holidays))
    try:
        found.check()
    except DeclarationError as error:
        raise DeclarationError(f"dbt/seeds/{pack}/{pack}_shifts.csv, calendar {calendar_name}: {error}") from error
    return found


def _local_spans(pack: str, seed: str, calendar_name: str, named: str) -> tuple[LocalSpan, ...]:
    found = []
    for path, row in _seed_rows(pack, seed):
        try:
            if row["calendar"] != calendar_name:
                continue
            shift = int(row["shift"])
            if not 1 <= shift <= 9:
                raise ValueError("shifts are numbered from 1 to 9")
            found.append(
                LocalSpan(
                    valid_from=date.fromisoformat(row["valid_from"]),
                    valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
                    weekdays=weekdays(row["weekdays"]),
                    shift=shift,
                    name=row[named],
                    starts=time.fromisoformat(row["starts"]),
                    ends=time.fromisoformat(row["ends"]),
                )
            )
        except (KeyError, ValueError) as error:
            raise DeclarationError(f"{path.relative_to(ROOT)}: row {row}: {error!r}") from error
    return tuple(found)


def _seed_rows(pack: str, seed: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """The rows of `dbt/seeds/<pack>/<pack>_<seed>.csv`; none where there is no such file."""
    path = DBT / "seeds" / pack / f"{pack}_{seed}.csv"
    if path.is_file():
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                yield path, row


def calendar(name: str) -> Calendar:
    """The calendar `name` of whichever pack; raises `DeclarationError` with the known names."""
    for found in calendars():
        if found.name == name:
            return found
    raise DeclarationError(f"No calendar {name!r}; known: {[c.name for c in calendars()]}")


def marts(pack: str) -> tuple[Mart, ...]:
    """The published models of a pack and of `shared`: those below `marts/` whose YAML carries `meta.publish`."""
    found = []
    for folder in (MODELS / "shared" / "marts", MODELS / pack / "marts"):
        for path in _yaml_files(folder, ".yml") if folder.is_dir() else ():
            for model in read_yaml(path).get("models", []):
                publish = _meta(model).get("publish")
                if publish is None:
                    continue
                where = f"{path.relative_to(ROOT)}: {model['name']}"
                found.append(
                    Mart(
                        name=model["name"],
                        pack=pack,
                        window=_required(publish, "window", where),
                        key=tuple(_required(publish, "key", where)),
                        columns={
                            c["name"]: _required(c, "data_type", f"{where}.{c['name']}") for c in model["columns"]
                        },
                        owner=_meta(model).get("owner", ""),
                        description=model.get("description", ""),
                    )
                )
    return tuple(sorted(found, key=lambda m: m.name))
