"""Shells on the platform: SQL on the lakehouse, and dbt on the project."""

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from include.settings import ROOT
from stack.layout import STATE, child_environment

INIT = STATE / "tmp" / "sql.init"


def open_shell(arguments: Sequence[str]) -> int:
    """DuckDB's own shell with the lakehouse attached. Its start file holds credentials, so only its owner reads it."""
    from include.lakehouse import LAKEHOUSE, attach_statements, catalog

    published = ("energypack",) in catalog().list_namespaces()  # says what to do when the platform is down
    statements = [*attach_statements(), *([f"use {LAKEHOUSE}.energypack"] if published else [])]
    half = INIT.with_suffix(f".{os.getpid()}")
    half.touch(0o600)
    half.write_text("\n".join([".output /dev/null", *(f"{statement};" for statement in statements), ".output", ""]))
    half.rename(INIT)
    program = Path(importlib.util.find_spec("duckdb_cli").origin).parent / "duckdb"
    start = ["-no-init", "-cmd", f'.read "{INIT}"']  # -init says that it loads, and where from
    return subprocess.call([str(program), "-unsigned", *start, *arguments], cwd=ROOT, env=child_environment())


def run_dbt(arguments: Sequence[str]) -> int:
    """dbt on a scratch workspace that sees the lakehouse."""
    words = [word for argument in arguments for word in shlex.split(argument)]
    return subprocess.call([sys.executable, "-m", "include.build", "dbt", *words], cwd=ROOT, env=child_environment())
