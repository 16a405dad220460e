"""The commands behind `make`: `python -m stack COMMAND`."""

import sys

from include.errors import HnaiError
from stack.cli import commands


def main() -> None:
    """Run a command. What goes wrong on purpose is one message, not a traceback."""
    try:
        commands(prog_name="stack")
    except (HnaiError, RuntimeError) as error:
        sys.stdout.flush()
        sys.exit(f"\n{error}")


main()
