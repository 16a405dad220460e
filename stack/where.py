"""Where a user looks and what they may do next."""

from include.settings import settings
from stack.airflow_env import ADMIN


def where_to_look(pack: str = "<pack>") -> str:
    """The addresses and files of the running platform. The password is named by its file, never shown."""
    lines = {
        "Airflow": f"{settings.airflow_uri}  user {ADMIN}, password in {settings.secrets_dir / 'airflow_admin'}",
        "Reports": f"{settings.reports_dir / pack}",
        "Data Docs": f"{settings.data_docs_dir / pack / 'index.html'}",
        "SQL": "make sql",
        "State": "make status        stop: make down        start over: make reset",
    }
    return "\n".join(f"{name:<13}{where}" for name, where in lines.items())
