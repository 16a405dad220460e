"""The dbt-duckdb plugin that lets a close's workspace read the lakehouse; named in `dbt/profiles.yml`."""

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from include import lakehouse


class Plugin(BasePlugin):
    """Attaches the lakehouse, or with `attach: false` (unit tests, linters) only what SQL needs: time zones in UTC."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self.attach = plugin_config.get("attach", True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        if self.attach:
            lakehouse.prepare(conn)
        else:
            conn.execute(f"set extension_directory = '{lakehouse.extension_directory()}'")
            conn.execute("load icu")
            conn.execute("set TimeZone = 'UTC'")
