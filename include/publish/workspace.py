"""Read the marts of one close from its workspace, with the types of their contracts."""

from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING, Protocol

import duckdb
import pyarrow as pa

from include.catalog import Mart
from include.engine import engine
from include.errors import PublishError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.publish.freeze import Close


def opened(close: "Close") -> AbstractContextManager["DuckDBPyConnection"]:
    """The workspace, read-only. Raises `PublishError` where the close was not built (or is being built)."""
    return engine().opened(close)


def mart_rows(workspace: "DuckDBPyConnection", close: "Close", mart: Mart) -> pa.Table:
    """The rows of one mart in the close's window, with the columns and types that its contract declares.

    Raises `PublishError` where the mart was not built, lacks a column, or has a null in its key.
    """
    relation = _relation(workspace, close, mart)
    columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in mart.columns.items())
    first, last = window_bounds(mart, close)
    condition, arguments = "calendar = ?", [close.calendar]
    if mart.window != "all":
        condition, arguments = f'calendar = ? and "{mart.window}" between ? and ?', [close.calendar, first, last]
    try:
        rows = workspace.execute(f"select {columns} from {relation} where {condition}", arguments).to_arrow_table()
    except duckdb.Error as error:
        raise PublishError(f"{mart.name} in the workspace of {close.label}: {str(error).splitlines()[0]}") from error
    for name in key_columns(mart):
        if rows[name].null_count:
            raise PublishError(
                f"{mart.name}: {rows[name].null_count} rows have no {name}, a part of the key. Correct the model"
            )
    return rows


def mart_schema(mart: Mart) -> pa.Schema:
    """The arrow schema of a mart's contract, as the engine understands its data types."""
    columns = ", ".join(f'cast(null as {kind}) as "{name}"' for name, kind in mart.columns.items())
    with duckdb.connect() as engine:
        engine.execute("set TimeZone = 'UTC'")
        try:
            return engine.execute(f"select {columns} limit 0").to_arrow_table().schema
        except duckdb.Error as error:
            raise PublishError(f"The contract of {mart.name} cannot be read: {str(error).splitlines()[0]}") from error


def key_columns(mart: Mart) -> tuple[str, ...]:
    """The columns that may never be null: the key, the calendar and the window."""
    window = () if mart.window == "all" else (mart.window,)
    return tuple(dict.fromkeys((*mart.key, "calendar", *window)))


class Window(Protocol):
    """What is closed, by dates and by the names of its periods: a close, or what is to be published of one."""

    calendar: str
    from_date: date
    to_date: date
    first: str
    last: str


def window_bounds(mart: Mart, closed: Window) -> tuple[date, date] | tuple[str, str]:
    """The lowest and the highest value of the window column that a close replaces."""
    if mart.is_by_name:
        return closed.first, closed.last
    if mart.window == "month":
        return closed.from_date.replace(day=1), closed.to_date.replace(day=1)
    return closed.from_date, closed.to_date


def _relation(workspace: "DuckDBPyConnection", close: "Close", mart: Mart) -> str:
    found = workspace.execute(
        "select schema_name from duckdb_tables() where table_name = $name and database_name = current_database() "
        "union all "
        "select schema_name from duckdb_views() where view_name = $name and database_name = current_database()",
        {"name": mart.name},
    ).fetchall()
    if len(found) != 1:
        what = "is not built" if not found else f"stands in several schemas ({[s for (s,) in found]})"
        raise PublishError(f"{mart.name} {what} in the workspace of {close.label}. Clear the run's task mart")
    return f'"{found[0][0]}"."{mart.name}"'
