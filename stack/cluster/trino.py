"""Trino: coordinator and worker in one process, on loopback."""

import json
import urllib.request

from include.settings import ROOT, has_secret, secret, settings
from stack.cluster.fetch import TRINO
from stack.cluster.java import java25
from stack.layout import STATE


def command() -> list[str]:
    return ["/bin/sh", str(ROOT / "deploy" / "trino" / "start.sh")]


def environment() -> dict[str, str]:
    how, proof = _access()
    return {
        "JAVA_HOME": str(java25()),
        "TRINO_HOME": str(TRINO.folder),
        "TRINO_DATA": str(STATE.resolve() / "trino"),
        "TRINO_MEMORY": settings.cluster.trino_memory,
        "TRINO_BIND": settings.host,
        "TRINO_HOST": settings.host,
        "TRINO_PORT": str(settings.port("trino")),
        "TRINO_CATALOGS": str(ROOT / "deploy" / "trino" / "catalogs" / how),
        **proof,
        **lakehouse(),
    }


def _access() -> tuple[str, dict[str, str]]:
    """How the Iceberg catalog lets a client in, and what the client shows."""
    oauth2 = {"CATALOG_TOKEN_URI": settings.catalog_token_uri, "CATALOG_SCOPE": settings.cluster.catalog_scope}
    if settings.cluster.catalog == "seaweedfs":
        return "oauth2", oauth2
    if settings.cluster.catalog == "rest" and has_secret("catalog_credential"):
        return "oauth2", oauth2 | {"CATALOG_CREDENTIAL": secret("catalog_credential")}
    if settings.cluster.catalog == "rest" and has_secret("catalog_token"):
        return "token", {"CATALOG_TOKEN": secret("catalog_token")}
    return "open", {}


def lakehouse() -> dict[str, str]:
    """Where the catalog and the object store are, and the keys to both."""
    return {
        "CATALOG_URI": settings.iceberg_uri,
        "WAREHOUSE": settings.warehouse,
        "S3_URI": settings.s3_uri,
        "S3_REGION": settings.cluster.s3_region,
        "S3_ACCESS_KEY": secret("s3_access_key"),
        "S3_SECRET_KEY": secret("s3_secret_key"),
    }


def ports() -> dict[str, int]:
    return {"trino": settings.port("trino")}


def is_healthy() -> str | None:
    """None once the server takes queries, else the reason."""
    address = settings.own("trino")
    try:
        with urllib.request.urlopen(f"{address}/v1/info", timeout=5) as response:
            is_starting = json.load(response)["starting"]
    except (OSError, ValueError, KeyError) as error:
        return f"Trino does not answer at {address}: {error}"
    return "Trino is still starting" if is_starting else None
