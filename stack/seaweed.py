"""SeaweedFS: object store and Iceberg REST catalog in one process, on loopback alone."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from include.settings import secret, settings
from stack.layout import BIN, STATE, socket_path

GRPC = 10_000  # each gRPC port stands this far above its HTTP port


def command() -> list[str]:
    """The command line. It holds no secret: credentials go through the environment."""
    ports = {
        "master": settings.port("seaweed_master"),
        "volume": settings.port("seaweed_volume"),
        "filer": settings.port("seaweed_filer"),
        "s3": settings.port("s3"),
        "admin": settings.port("seaweed_admin"),
    }
    flags = {
        "dir": STATE / "seaweed",
        "ip": settings.host,
        "ip.bind": settings.host,
        "tableBucket": settings.warehouse,
        **{f"{name}.port": port for name, port in ports.items()},
        **{f"{name}.port.grpc": port + GRPC for name, port in ports.items()},
        "s3.port.iceberg": settings.port("iceberg"),
        "s3.port.lance": 0,
        "filer.localSocket": socket_path("filer.sock"),
        "s3.localSocket": socket_path("s3.sock"),
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",
    }
    return [str(BIN / "weed"), "mini", *(f"-{name}={value}" for name, value in flags.items())]


def environment() -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": secret("s3_access_key"), "AWS_SECRET_ACCESS_KEY": secret("s3_secret_key")}


def ports() -> dict[str, int]:
    """Each port that the process opens, by the setting that moves it."""
    names = ("s3", "iceberg", "seaweed_master", "seaweed_filer", "seaweed_volume", "seaweed_admin")
    http = {name: settings.port(name) for name in names}
    return http | {f"{name} (gRPC)": port + GRPC for name, port in http.items() if name != "iceberg"}


def is_healthy() -> str | None:
    """None once a namespace call with a fresh OAuth2 token answers, else the reason.

    The port opens a moment before the table bucket exists, so an open port says nothing.
    """
    address = settings.own("iceberg")
    form = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": secret("s3_access_key"),
            "client_secret": secret("s3_secret_key"),
            "scope": "PRINCIPAL_ROLE:ALL",
        }
    ).encode()
    try:
        token = _answer(urllib.request.Request(f"{address}/v1/oauth/tokens", form))["access_token"]
        namespaces = urllib.request.Request(
            f"{address}/v1/{settings.warehouse}/namespaces", headers={"Authorization": f"Bearer {token}"}
        )
        _answer(namespaces)["namespaces"]
    except (OSError, ValueError, KeyError) as error:
        return f"the Iceberg catalog does not answer at {address}: {error}"
    return None


def prepare() -> None:
    (STATE / "seaweed").mkdir(exist_ok=True)
    for name in ("filer.sock", "s3.sock"):
        Path(socket_path(name)).unlink(missing_ok=True)


def _answer(request: urllib.request.Request) -> dict:
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)
