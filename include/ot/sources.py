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
BRIDGES = ("here", "elsewhere")  # where the source's bridge runs


@dataclass(frozen=True)
class Source:
    """One source. `options` is the rest of its YAML: what only the client of its kind reads.

    `bridge: elsewhere` in the YAML says that a bridge on a host of its own reads it: this platform runs none, and asks
    the source for no history.
    """

    name: str
    kind: str
    url: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    bridge: str = "here"

    @property
    def can_be_read(self) -> bool:
        """Whether a bridge, wherever it runs, reads it."""
        return self.kind not in PUBLISHERS

    @property
    def has_bridge(self) -> bool:
        """Whether its bridge runs on this platform."""
        return self.can_be_read and self.bridge == "here"


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
    bridge = entry.get("bridge", "here")
    if bridge not in BRIDGES:
        raise DeclarationError(f"{path}: bridge is {bridge!r}; it must be one of {', '.join(BRIDGES)}")
    options = {key: value for key, value in entry.items() if key not in ("kind", "url", "bridge")}
    url = settings.ot.urls.get(path.stem) or entry.get("url", "")
    try:
        url = url.format(host=settings.host, **{name: settings.port(name) for name in Ports.model_fields})
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise DeclarationError(
            f"{path}: url {url!r}: {error!r}. It may name {{host}} and the ports of settings"
        ) from error
    return Source(path.stem, entry["kind"], url, options, bridge)
