"""Servers are fetched once, whole or not at all, and what is missing on the machine is named with the way out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.settings import ROOT
from stack.cluster.fetch import DEBEZIUM, KAFKA, STAMP

pytestmark = pytest.mark.platform
FETCH = "from stack.cluster.fetch import *; fetch([DEBEZIUM], Progress())"


def fetching(home: Path, code: str = FETCH, **changed: str) -> subprocess.Popen:
    environment = {**os.environ, "HNAI_CLUSTER__HOME": str(home), "PYTHONPATH": str(ROOT), **changed}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def said(process: subprocess.Popen, code: int = 0) -> str:
    text = process.communicate(timeout=300)[0]
    assert process.returncode == code, text
    return text


def test_an_empty_home_is_filled_once_and_left_alone_after(cluster, tmp_path):
    first = said(fetching(tmp_path))
    folder = tmp_path / DEBEZIUM.folder.name
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    second = said(fetching(tmp_path))

    assert f"fetch debezium {DEBEZIUM.version}" in first
    assert second == ""
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == made
    assert (folder / "plugin" / f"debezium-connector-postgres-{DEBEZIUM.version}.jar").stat().st_size > 100_000


def test_a_killed_fetch_leaves_nothing_that_looks_whole_and_the_next_one_ends_it(cluster, tmp_path):
    killed = fetching(tmp_path)
    half = tmp_path / f".{DEBEZIUM.folder.name}.half"
    deadline = time.monotonic() + 60
    while not half.exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / DEBEZIUM.folder.name).exists()

    said(fetching(tmp_path))

    assert (tmp_path / DEBEZIUM.folder.name / STAMP).is_file()
    assert not half.exists()


def test_two_that_fetch_at_one_time_do_not_disturb_each_other(cluster, tmp_path):
    both = [fetching(tmp_path), fetching(tmp_path)]

    told = [said(one) for one in both]

    assert sorted(bool(text) for text in told) == [False, True]  # the second found it there
    assert (tmp_path / DEBEZIUM.folder.name / STAMP).is_file()


def test_without_maven_the_error_names_it(cluster, tmp_path):
    text = said(fetching(tmp_path, PATH=str(tmp_path)), code=1)

    assert "Maven is not on the PATH" in text


@pytest.mark.parametrize(("service", "setting"), [("kafka", "JAVA17"), ("connect", "JAVA17"), ("trino", "JAVA25")])
def test_a_missing_java_is_named_before_anything_starts(tmp_path, service, setting):
    code = f"from stack.platform import up; up(('{service}',))"

    text = said(fetching(tmp_path, code, **{f"HNAI_CLUSTER__{setting}": str(tmp_path)}), code=1)

    assert f"{service} cannot run here" in text
    assert f"HNAI_CLUSTER__{setting} is {tmp_path}" in text


def test_each_jar_is_pinned_in_one_place():
    poms = [*(ROOT / "deploy").rglob("pom.xml")]

    assert len(poms) == 5
    assert KAFKA.version in KAFKA.folder.name
    for pom in poms:
        assert not [word for word in ("LATEST", "RELEASE", "SNAPSHOT", "[", "${") if word in pom.read_text()], pom
