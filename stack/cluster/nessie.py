"""Nessie: an Iceberg REST catalog with a history of its own, on loopback. Its tables lie in the bucket `nessie`."""

import json
import urllib.request

from include.settings import ROOT, settings
from stack.cluster.fetch import NESSIE
from stack.cluster.java import java25
from stack.cluster.trino import lakehouse
from stack.layout import STATE


def command() -> list[str]:
    return ["/bin/sh", str(ROOT / "deploy" / "nessie" / "start.sh")]


def environment() -> dict[str, str]:
    return {
        "JAVA_HOME": str(java25()),
        "NESSIE_JAR": str(next(NESSIE.folder.glob("*.jar"))),
        "NESSIE_DATA": str(STATE.resolve() / "nessie"),
        "NESSIE_MEMORY": settings.cluster.nessie_memory,
        "NESSIE_BIND": settings.host,
        "NESSIE_PORT": str(settings.port("nessie")),
        "NESSIE_MANAGEMENT_PORT": str(settings.port("nessie_management")),
        **lakehouse(),
    }


def ports() -> dict[str, int]:
    return {name: settings.port(name) for name in ("nessie", "nessie_management")}


def is_healthy() -> str | None:
    """None once the catalog tells its configuration, else the reason."""
    address = f"{settings.own('nessie')}/iceberg/v1/config"
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            json.load(response)
    except (OSError, ValueError) as error:
        return f"Nessie does not answer at {address}: {error}"
    return None
