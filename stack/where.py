"""Where a user looks and what they may do next."""

from pathlib import Path

from include.settings import ROOT, settings
from stack import nats
from stack.airflow_env import ADMIN


def shown(path: Path) -> str:
    """A path as a person in the repository's folder types it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def where_to_look(pack: str = "") -> str:
    """The addresses and files of the running platform. The password is named by its file, never shown."""
    lines = {
        "Airflow": f"{settings.airflow_uri}  user {ADMIN}, password in {shown(settings.secrets_dir / 'airflow_admin')}",
        "Reports": shown(settings.reports_dir / pack),
        "Data Docs": shown(settings.data_docs_dir / pack / ("index.html" if pack else "")),
        "MQTT": f"{nats.url()}  user recorder, password in {shown(settings.secrets_dir / 'mqtt_recorder')}",
        "OT bridges": f"{shown(settings.ot_dir)}/<source>/health.json",
        "SQL": "make sql",
        **(_cluster() if settings.is_distributed else {}),
        "State": "make status        stop: make down        start over: make reset",
    }
    return "\n".join(f"{name:<13}{where}" for name, where in lines.items())


def _cluster() -> dict[str, str]:
    return {
        "Trino": f"{settings.trino_uri}  user {settings.cluster.trino_user}, catalog lakehouse",
        "Connect": f"{settings.connect_uri}/connectors",
        "Profile": "distributed: HNAI_PROFILE=distributed in .env tells every command",
    }
