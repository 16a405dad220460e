"""Settings that cannot be used: every program says which, in a line, and ends."""

import os
import subprocess
import sys

import pytest

from include.settings import ROOT


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"HNAI_OT__FLUSH_S": "-1", "HNAI_PORT_SHIFT": "x"}, ["HNAI_PORT_SHIFT=x: ", "HNAI_OT__FLUSH_S=-1: "]),
        ({"HNAI_OT__URLS": "{field_rtu"}, ["HNAI_OT"]),
        ({"HNAI_PROFILE": "both"}, ["HNAI_PROFILE=both: "]),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(given, named):
    for program in (["-m", "include.ot.probe", "X"], ["-c", "import include.settings"]):
        done = subprocess.run([sys.executable, *program], cwd=ROOT, env={**os.environ, **given}, capture_output=True)

        said = done.stderr.decode()
        assert done.returncode == 1 and len(said.splitlines()) == 1, said
        assert all(name in said for name in named) and ".env" in said
