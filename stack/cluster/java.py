"""The Java that each server runs on, found where Java is usually installed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from include.settings import settings

INSTALLED = Path("/usr/lib/jvm")
HADOOP_ENDS = 24  # from this version on, Java lacks what the Iceberg sink's Hadoop classes ask for
NEWEST = 999


class NoJava(RuntimeError):
    """No fitting Java is installed; the message names the setting that points to one."""


def java17() -> Path:
    """Home of the Java for Kafka and Connect. Raises `NoJava`."""
    return _home("java17", settings.cluster.java17, 17, HADOOP_ENDS - 1)


def java25() -> Path:
    """Home of the Java for Trino and Nessie. Raises `NoJava`."""
    return _home("java25", settings.cluster.java25, 24, NEWEST)


def _home(setting: str, told: Path | None, oldest: int, newest: int) -> Path:
    wanted = f"Java {oldest} or later" if newest == NEWEST else f"Java {oldest} to {newest}"
    name = f"HNAI_CLUSTER__{setting.upper()}"
    if told:
        found = version(told)
        if found is None or not oldest <= found <= newest:
            raise NoJava(
                f"{name} is {told}, where {wanted} should be; there is {f'Java {found}' if found else 'none'}."
            )
        return told
    fitting = [(found, home) for home in _homes() if (found := version(home)) and oldest <= found <= newest]
    if not fitting:
        raise NoJava(
            f"{wanted} is needed and was found neither in JAVA_HOME, nor below {INSTALLED}, nor on the PATH. "
            f"Install one, or name its home: {name}=/path/to/jdk"
        )
    return min(fitting)[1]  # the oldest that fits is the one that the server was made for


def _homes() -> Iterator[Path]:
    if told := os.environ.get("JAVA_HOME"):
        yield Path(told)
    if INSTALLED.is_dir():
        yield from sorted({path.resolve() for path in INSTALLED.iterdir()})
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent


@cache
def version(home: Path) -> int | None:
    """Major version of the Java in `home`; None where there is none."""
    program = home / "bin" / "java"
    if not os.access(program, os.X_OK):
        return None
    release = home / "release"
    text = release.read_text() if release.is_file() else ""
    if 'JAVA_VERSION="' not in text:
        text = subprocess.run([str(program), "-version"], capture_output=True, text=True).stderr
    found = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', text)
    return int(found.group(1)) if found else None
