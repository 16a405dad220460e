"""Servers that trials use and the platform does not bring: from the PATH, else from Debian's archive, without root."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hnai-tests"
PLACES = ("usr/sbin", "usr/bin", "sbin", "bin")
ROUNDS = 3  # of libraries of libraries


@dataclass(frozen=True)
class Program:
    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, log: Path, cwd: Path | None = None) -> subprocess.Popen:
        with log.open("a") as out:
            return subprocess.Popen(
                [str(self.path), *arguments],
                env={**os.environ, **self.environment},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )


def debian_program(package: str, binary: str | None = None) -> Program:
    """A program of a Debian package. Skips the trial, with the reason, where it cannot be had."""
    binary = binary or package
    if found := shutil.which(binary, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return Program(Path(found))
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip(f"{binary} is not installed, and this is no Debian to fetch it from")
    root = CACHE / package
    if not root.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _fetch(package, binary, Path(folder) / "root")
            if not root.is_dir():
                (Path(folder) / "root").rename(root)
    return _program(root, binary)


def _fetch(package: str, binary: str, root: Path) -> None:
    """Unpack the package below `root`, and the libraries that it needs and this machine lacks."""
    fetched: set[str] = set()
    wanted = {package}
    for _ in range(ROUNDS):
        for name in sorted(wanted):
            _unpack(name, root)
        fetched |= wanted
        program = _program(root, binary)
        linked = subprocess.run(
            ["ldd", str(program.path)], env={**os.environ, **program.environment}, capture_output=True, text=True
        )
        if "not found" not in linked.stdout:
            return
        wanted = {name for some in fetched for name in _libraries_of(some)} - fetched
    pytest.skip(f"{binary} lacks libraries: {linked.stdout}")


def _unpack(package: str, root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        got = subprocess.run(
            ["apt-get", "download", "-o", "APT::Sandbox::User=root", package],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        files = list(Path(folder).glob("*.deb"))
        if got.returncode or not files:
            pytest.skip(f"Debian's {package} cannot be fetched (apt-get update may help): {got.stderr.strip()[-300:]}")
        subprocess.run(["dpkg-deb", "-x", str(files[0]), str(root)], check=True)


def _libraries_of(package: str) -> set[str]:
    said = subprocess.run(["apt-cache", "depends", "-i", package], capture_output=True, text=True).stdout
    names = {line.split("Depends:")[1].strip() for line in said.splitlines() if "Depends:" in line}
    return {name for name in names if name.startswith("lib") and name != "libc6"}


def _program(root: Path, binary: str) -> Program:
    path = next((root / place / binary for place in PLACES if (root / place / binary).is_file()), None)
    if path is None:
        pytest.skip(f"The package below {root} holds no {binary}")
    libraries = {str(library.parent) for library in root.rglob("*.so*")}
    return Program(path, {"LD_LIBRARY_PATH": os.pathsep.join(sorted(libraries))} if libraries else {})
