"""Become one service: `python -m stack.run NAME`, started by the supervisor alone.

Ends what an earlier life left behind first, so that two copies never run side by side.
"""

import os
import sys

from include.settings import ROOT
from stack import leftovers
from stack.services import SERVICES, environment_of


def main(name: str) -> None:
    service = SERVICES[name]
    if left := leftovers.recorded(name):
        gently = None if service.leaves_tasks else service.stop_signal
        if left.end(gently, service.grace_s):
            print(f"stack: ended what the last run of {name} had left running", flush=True)
    leftovers.lead(name)
    service.prepare()
    os.umask(0o077)
    os.chdir(ROOT)
    command = service.command()
    os.execve(command[0], command, environment_of(service))


if __name__ == "__main__":
    main(sys.argv[1])
