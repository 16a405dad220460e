"""Ending what a killed service left behind, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from stack import leftovers
from stack.layout import make_folders

# A service that leads a session, like every one of ours, with a task in a process group of its own.
SERVICE = """
import os, subprocess, sys, time
from stack import leftovers
leftovers.lead("trial")
task = subprocess.Popen(["sleep", "60"], process_group=0)
print(task.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def service():
    make_folders()
    process = subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True)
    task = int(process.stdout.readline())
    yield process, task
    for pid in (process.pid, task):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def is_alive(pid: int) -> bool:
    return leftovers._stat(pid) is not None


def test_the_tasks_of_a_killed_service_are_ended(service):
    process, task = service
    process.kill()
    process.wait()
    assert is_alive(task)

    assert leftovers.recorded("trial").end(None, 0) is True

    assert not is_alive(task)


def test_a_number_that_belongs_to_somebody_else_now_is_left_alone(service):
    process, task = service
    later = replace(leftovers.recorded("trial"), started=leftovers.recorded("trial").started - 1)

    assert later.members() == []
    assert later.end(None, 0) is False
    assert is_alive(process.pid) and is_alive(task)


def test_a_record_from_before_the_last_boot_means_nothing(service):
    process, _ = service

    assert replace(leftovers.recorded("trial"), boot="another").end(None, 0) is False
    assert is_alive(process.pid)


def test_a_service_is_asked_before_it_is_killed(service):
    process, _ = service
    begun = time.monotonic()

    leftovers.recorded("trial").end(signal.SIGTERM, grace_s=0.2)

    assert process.wait() == -signal.SIGTERM
    assert time.monotonic() - begun < 5
