"""A machine that is not ready gets an error that says what to do."""

import os
import socket
import subprocess
import sys

import pytest

from include.settings import ROOT, settings
from stack import preflight


@pytest.mark.platform
def test_a_taken_port_is_named_with_its_setting_and_its_process():
    with socket.socket() as other:
        other.bind((settings.host, settings.port("airflow")))
        other.listen()

        with pytest.raises(preflight.NotReady) as refused:
            preflight.check_ports(["airflow-api-server"])

    message = str(refused.value)
    assert str(settings.port("airflow")) in message
    assert "HNAI_PORTS__AIRFLOW=" in message
    assert f"process {os.getpid()}" in message


def test_a_full_disk_is_told_before_anything_starts():
    with pytest.raises(preflight.NotReady, match="HNAI_STATE_DIR"):
        preflight.check_system(free_gb_needed=10**6)


def bootstrap(folder, *, version: str) -> subprocess.CompletedProcess:
    """Run the bootstrap as if by another Python."""
    code = (
        f"import sys; from stack import bootstrap; sys.version_info = {version};"
        f"bootstrap.main(bootstrap.Path({str(folder)!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_an_old_python_is_refused_with_the_way_out(tmp_path):
    done = bootstrap(tmp_path / "env", version="(3, 10)")

    assert done.returncode == 1
    assert "3.11 or later is needed" in done.stderr and "make PYTHON=" in done.stderr
    assert not (tmp_path / "env").exists()


def test_a_folder_that_make_did_not_make_is_left_alone(tmp_path):
    (tmp_path / "somebodys").write_text("work")

    done = bootstrap(tmp_path, version="(3, 11)")

    assert done.returncode == 1 and "left alone" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["somebodys"]
