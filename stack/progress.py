"""One line a step, with the seconds it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 44


class Progress:
    """Prints each step as it ends. `quiet` is for tests, which keep the timings only."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        self._write(f"  {what} ".ljust(WIDTH, "."))
        try:
            yield
        except BaseException:
            self._write(" failed\n")
            raise
        self.done(what, time.monotonic() - begun, named=True)

    def done(self, what: str, seconds: float, *, named: bool = False) -> None:
        """Report a step that ran beside others."""
        self.seconds[what] = seconds
        if not named:
            self._write(f"  {what} ".ljust(WIDTH, "."))
        self._write(f" {seconds:6.1f} s\n")

    def say(self, line: str = "") -> None:
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.write(text)
            sys.stdout.flush()
