"""What `make` offers and what it does with unclear wishes."""

import re
import subprocess

import click
import pytest

from include.settings import ROOT, Settings
from stack.cli import commands
from stack.close import window


def test_bare_make_lists_every_command_in_a_line():
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True).stdout
    offered = re.findall(r"^make ([a-z-]+) +\S", listed, re.MULTILINE)

    assert set(commands.commands) <= set(offered)
    assert len(offered) == len(set(offered))


@pytest.mark.parametrize(
    "wish", [("", "", ""), ("2026-01-31", "2026-01-01", ""), ("", "2026-01-01", ""), ("31.01.2026", "", "")]
)
def test_an_unclear_window_is_refused(wish):
    with pytest.raises(click.UsageError, match="2026-01-31"):
        window(*wish)


def test_a_window_is_a_day_or_a_range():
    assert window("2026-01-31", "", "") == ("2026-01-31", "2026-01-31")
    assert window("2026-01-31.3", "", "") == ("2026-01-31.3", "2026-01-31.3")
    assert window("", "2026-01-01", "2026-01-31") == ("2026-01-01", "2026-01-31")
    assert window("", "2026-01-31.3", "2026-01-31") == ("2026-01-31.3", "2026-01-31")
    with pytest.raises(click.UsageError, match="after"):
        window("", "2026-02-01", "2026-01-31")


def test_the_example_settings_are_the_defaults():
    lines = re.findall(r"^# HNAI_([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert lines
    for name, shown in lines:
        if name == "STATE_DIR":
            continue  # an absolute path in truth
        default, model = None, Settings
        for part in name.lower().split("__"):
            field = model.model_fields[part]
            default, model = field.default, type(field.default)
        assert str(default) == shown, name
