"""`make ot-package`: a bridge as one archive that installs and runs alone, on a host that sees the plant.

It holds the modules that a bridge imports and nothing else: no Airflow, no lakehouse, no code that could reach
them. What it needs from PyPI is pinned in `requirements-bridge.txt`.

How to install it: docs/how-to/bridge-on-a-dmz-host.md
"""

import ast
import gzip
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.errors import DeclarationError
from include.settings import ROOT

# What somebody on that host starts. What these import by name follows; clients are imported by the kind of a source.
PROGRAMS = ("bridge", "browse", "probe", "trust")
CLIENTS = ("opcua", "modbus", "mtconnect", "shdr_files", "sparkplug")
FOLDER = "hnai-bridge"


def build(target: Path, sources: Sequence[str] = ()) -> Path:
    """Write the archive to `target` and return it; `sources` narrows the OT sources that it knows, all unless given.

    Two builds of the same files are the same to the byte. Raises `DeclarationError` for an unknown source.
    """
    files = sorted(_files(sources))  # before the target is touched: an archive that is there stays, whatever is wrong
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,  # no name, no time: the same bytes
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content, mode in files:
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return target


def _files(sources: Sequence[str]) -> Iterator[tuple[str, bytes, int]]:
    for path in sorted(modules()):
        yield str(path.relative_to(ROOT)), path.read_bytes(), 0o644
    for path in _source_files(sources):
        yield str(path.relative_to(ROOT)), path.read_bytes(), 0o644
    for path in sorted((ROOT / "dbt" / "seeds").glob("*/*_tags.csv")):
        yield str(path.relative_to(ROOT)), path.read_bytes(), 0o644
    yield "requirements.txt", (ROOT / "requirements-bridge.txt").read_bytes(), 0o644
    yield "LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644
    for path in sorted((ROOT / "stack" / "bridge").iterdir()):
        yield path.name, path.read_bytes(), 0o755 if path.suffix == ".sh" else 0o644


def _source_files(sources: Sequence[str]) -> list[Path]:
    found = {path.stem: path for path in sorted((ROOT / "include" / "ot" / "sources").glob("*.yaml"))}
    if unknown := sorted(set(sources) - set(found)):
        raise DeclarationError(f"No OT source {', '.join(unknown)} is declared; known: {', '.join(found)}")
    return [path for name, path in found.items() if not sources or name in sources]


def modules() -> set[Path]:
    """The files of every module of `include` that a bridge may import, lazily or not."""
    waiting = [ROOT / "include" / "ot" / f"{name}.py" for name in (*PROGRAMS, *CLIENTS)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for folder in path.relative_to(ROOT).parents:
            package = ROOT / folder / "__init__.py"
            if folder.parts and package.is_file():
                waiting.append(package)
        waiting += [file for name in _imported(path) for file in _file_of(name)]
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file_of(module: str) -> list[Path]:
    if not module.startswith("include."):
        return []
    path = ROOT / Path(*module.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
