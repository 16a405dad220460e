"""The Java that a server runs on is found, and one that is missing or does not fit is named with its setting."""

from dataclasses import replace
from pathlib import Path

import pytest

from stack.cluster import java
from stack.services import SERVICES
from stack.status import _state


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A machine on which nothing but the given versions are installed."""

    def install(*versions: str) -> Path:
        for version in versions:
            program = tmp_path / "jvm" / f"java-{version}" / "bin" / "java"
            program.parent.mkdir(parents=True)
            program.touch(0o755)
            (program.parent.parent / "release").write_text(f'JAVA_VERSION="{version}"\n')
        return tmp_path / "jvm"

    monkeypatch.setattr(java, "INSTALLED", tmp_path / "jvm")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return install


def test_each_server_gets_the_oldest_java_that_fits(installed):
    folder = installed("11.0.2", "17.0.15", "21.0.8", "24.0.1", "25.0.3")

    assert java.java17() == folder / "java-17.0.15"
    assert java.java25() == folder / "java-24.0.1"


def test_a_java_too_new_for_the_sink_is_not_taken_for_connect(installed):
    installed("11.0.2", "24.0.1", "25.0.3")

    with pytest.raises(java.NoJava, match="Java 17 to 23 is needed.*HNAI_CLUSTER__JAVA17="):
        java.java17()


def test_java_home_counts_too(installed, monkeypatch):
    folder = installed("17.0.15")
    monkeypatch.setattr(java, "INSTALLED", folder / "elsewhere")
    with pytest.raises(java.NoJava):
        java.java17()

    monkeypatch.setenv("JAVA_HOME", str(folder / "java-17.0.15"))

    assert java.java17() == folder / "java-17.0.15"


def test_status_names_the_java_that_a_server_has_lost(installed):
    installed("17.0.15")
    trino = replace(SERVICES["trino"], runs_on=java.java25)

    state, trouble = _state(trino, {"statename": "BACKOFF"})

    assert state == "starting"
    assert "Java 24 or later is needed" in trouble and "HNAI_CLUSTER__JAVA25=" in trouble
