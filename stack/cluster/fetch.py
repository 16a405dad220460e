"""Fetch the servers through Maven, each into a folder of its own, whole or not at all.

What is fetched, and in which version, stands in the `pom.xml` of each server's folder in `deploy/`. A folder keeps
what it was made from, so a changed pin fetches anew. Maven keeps what it downloaded, so a fetch that
was killed goes on where it was.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from include.settings import ROOT, settings
from stack.cluster.java import java17
from stack.layout import BIN
from stack.progress import Progress

DEPLOY = ROOT / "deploy"
SMT = ROOT / "connect-smt"
REQUIREMENTS = ROOT / "requirements.txt"
STAMP = "made_from"
TRINO_PLUGINS = {"iceberg", "tpch", "password-authenticators"}


class CannotFetch(RuntimeError):
    """Maven is missing or failed; the message says what to do."""


@dataclass(frozen=True)
class Server:
    """What is fetched together. `fill` puts it into an empty folder."""

    pom: Path
    fill: Callable[["Server", Path], None]
    megabytes: int  # of the download

    @property
    def name(self) -> str:
        return self.pom.parent.name

    @property
    def version(self) -> str:
        return ElementTree.parse(self.pom).getroot().findtext("{*}version")

    @property
    def folder(self) -> Path:
        return (settings.cluster.home / f"{self.name}-{self.version}").resolve()

    @property
    def is_there(self) -> bool:
        stamp = self.folder / STAMP
        return stamp.is_file() and stamp.read_bytes() == self._content()

    def _content(self) -> bytes:
        return self.pom.read_bytes()

    def fetch(self) -> None:
        """Make the folder anew: first under another name, then renamed."""
        half = self.folder.with_name(f".{self.folder.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        self.fill(self, half)
        (half / STAMP).write_bytes(self._content())
        if self.folder.exists():
            shutil.rmtree(self.folder)
        half.rename(self.folder)


class Built(Server):
    """A server's part that is built from sources here: a change of any source builds it anew."""

    def _content(self) -> bytes:
        digest = hashlib.sha256()
        for path in sorted(path for path in self.pom.parent.rglob("*") if path.is_file()):
            if "target" not in path.relative_to(self.pom.parent).parts:
                digest.update(str(path.relative_to(self.pom.parent)).encode() + b"\0" + path.read_bytes())
        return digest.hexdigest().encode()


class Trimmed(Server):
    """Trino without most of its plugins: another choice of them is fetched anew."""

    def _content(self) -> bytes:
        return self.pom.read_bytes() + " ".join(sorted(TRINO_PLUGINS)).encode()


class Environment(Server):
    """This Python environment with what Airflow needs for Celery workers and for logs in the object store."""

    name = "airflow"

    @property
    def version(self) -> str:
        return hashlib.sha256(self._content()).hexdigest()[:8]

    def _content(self) -> bytes:
        return sys.version.encode() + REQUIREMENTS.read_bytes() + self.pom.read_bytes()


def _jars(server: Server, folder: Path) -> None:
    maven("dependency:copy-dependencies", f"-DoutputDirectory={folder}", pom=server.pom)


def _plugin(server: Server, folder: Path) -> None:
    """Connect takes each folder *below* one of its plugin folders for a plugin."""
    maven("dependency:copy-dependencies", f"-DoutputDirectory={folder / 'plugin'}", pom=server.pom)


def _trino(server: Server, folder: Path) -> None:
    """Unpack the tarball whole, for its plugins are hard links to each other's jars; then drop what is not used."""
    _jars(server, folder)
    tarball = next(folder.glob("*.tar.gz"))
    subprocess.run(["tar", "-xzf", str(tarball), "-C", str(folder), "--strip-components=1"], check=True)
    tarball.unlink()
    for plugin in (folder / "plugin").iterdir():
        if plugin.name not in TRINO_PLUGINS:
            shutil.rmtree(plugin)


def _smt(server: Server, folder: Path) -> None:
    with _copy_of_sources(server.pom.parent) as sources:
        maven("package", pom=sources / "pom.xml")
        (folder / "plugin").mkdir()
        shutil.copy(sources / "target" / "hnai-connect-smt.jar", folder / "plugin")


def _environment(server: Server, folder: Path) -> None:
    uv, python = str(BIN / "uv"), str(folder / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--relocatable", "--allow-existing", "--python", sys.executable, str(folder)],
        [*(uv, "pip", "install", "--quiet", "--python", python)]
        + [*("--requirement", str(REQUIREMENTS), "--requirement", str(server.pom))],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotFetch(f"The packages of {server.pom.name} cannot be installed:\n{done.stderr.strip()[-3000:]}")


@contextlib.contextmanager
def _copy_of_sources(folder: Path) -> Iterator[Path]:
    """A copy to build in, so that nothing is written beside the sources."""
    copy = settings.cluster.home.resolve() / f".{folder.name}.build"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("target"))
    yield copy
    shutil.rmtree(copy)


KAFKA = Server(DEPLOY / "kafka" / "pom.xml", _jars, 54)
DEBEZIUM = Server(DEPLOY / "connect" / "debezium" / "pom.xml", _plugin, 10)
ICEBERG = Server(DEPLOY / "connect" / "iceberg" / "pom.xml", _plugin, 155)
TRANSFORMS = Built(SMT / "pom.xml", _smt, 1)
TRINO = Trimmed(DEPLOY / "trino" / "pom.xml", _trino, 821)
NESSIE = Server(DEPLOY / "nessie" / "pom.xml", _jars, 245)
PLUGINS = (DEBEZIUM, ICEBERG, TRANSFORMS)
AIRFLOW = Environment(ROOT / "requirements-cluster.txt", _environment, 120)


def fetch(servers: Iterable[Server], progress: Progress) -> None:
    """Fetch what is not there yet. Raises `CannotFetch`, or `NoJava`."""
    needed = list(dict.fromkeys(servers))
    if all(server.is_there for server in needed):
        return
    settings.cluster.home.mkdir(parents=True, exist_ok=True)
    with (settings.cluster.home / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for server in needed:
            if not server.is_there:
                with progress.step(f"fetch {server.name} {server.version} ({server.megabytes} MB)"):
                    server.fetch()


def maven(*arguments: str, pom: Path) -> None:
    """Run Maven quietly. Raises `CannotFetch` with what it said."""
    program = shutil.which("mvn")
    if program is None:
        raise CannotFetch("Maven is not on the PATH. Install it (Debian: apt install maven) and start again.")
    done = subprocess.run(
        [program, "--batch-mode", "--quiet", "--file", str(pom), *arguments],
        env={**os.environ, "JAVA_HOME": str(java17())},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-3000:]
        raise CannotFetch(
            f"Maven could not do {arguments[0]} for {pom}:\n{said}\nIs the repository reachable? "
            "What was downloaded is kept; start again to go on."
        )
