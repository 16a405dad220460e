"""Where a user looks and what they may do next."""

from include.settings import settings
from stack.airflow_env import ADMIN


def where_to_look() -> str:
    """The addresses and files of the running platform. The password is named by its file, never shown."""
    return "\n".join(
        (
            f"Airflow      {settings.airflow_uri}  user {ADMIN}, password in {settings.secrets_dir / 'airflow_admin'}",
            "SQL          make sql",
            f"Close report {settings.reports_dir}",
            f"Data Docs    {settings.data_docs_dir / 'index.html'}",
            "State        make status        stop: make down        start over: make reset",
        )
    )
