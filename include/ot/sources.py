"""The OT sources: `include/ot/sources/<name>.yaml`, one file a server, gateway or publisher."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.errors import DeclarationError
from include.settings import Ports, settings

FOLDER = Path(__file__).parent / "sources"
KINDS = ("opcua", "modbus", "mtconnect", "shdr_files", "sparkplug", "payload")
PUBLISHERS = ("payload",)  # kinds that send our payload by themselves: no bridge runs for them


@dataclass(frozen=True)
class Source:
    """One source. `options` is the rest of its YAML: what only the client of its kind reads."""

    name: str
    kind: str
    url: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def has_bridge(self) -> bool:
        return self.kind not in PUBLISHERS


def sources() -> tuple[Source, ...]:
    """Every declared source, in order of name."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.yaml")))


def source(name: str) -> Source:
    """The source `name`; raises `DeclarationError` with the known names."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
        raise DeclarationError(f"No OT source {name!r} is declared in {FOLDER}; known: {', '.join(known)}")
    return _read(path)


def _read(path: Path) -> Source:
    try:
        entry = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise DeclarationError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        raise DeclarationError(f"{path}: kind must be one of {', '.join(KINDS)}")
    options = {key: value for key, value in entry.items() if key not in ("kind", "url")}
    url = settings.ot.urls.get(path.stem) or entry.get("url", "")
    try:
        url = url.format(host=settings.host, **{name: settings.port(name) for name in Ports.model_fields})
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise DeclarationError(
            f"{path}: url {url!r}: {error!r}. It may name {{host}} and the ports of settings"
        ) from error
    return Source(path.stem, entry["kind"], url, options)
