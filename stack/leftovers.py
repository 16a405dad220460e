"""End what an earlier run of a service left behind, and never anything else.

Killing a scheduler with -9 leaves its workers and their tasks running beside the restarted one, the tasks even in
process groups of their own. Each service therefore leads a session, recorded before it starts, and the whole session
is ended before the next start.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from stack.layout import RUN

POLL_S = 0.05
KILL_S = 10.0


@dataclass(frozen=True)
class Session:
    """A session of processes, with what tells it from a later one that was given the same number."""

    leader: int
    started: int  # the leader's start, in clock ticks since boot
    boot: str

    def members(self) -> list[int]:
        """Living processes of this session; none when its number now belongs to somebody else."""
        if self.boot != _boot():
            return []
        leader = _stat(self.leader)
        if leader and leader[1] != self.started:
            return []
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        stats = ((pid, _stat(pid)) for pid in pids)
        return [pid for pid, stat in stats if stat and stat[0] == self.leader and stat[1] >= self.started]

    def is_led(self) -> bool:
        """Whether the service itself, and not only what it left behind, is alive."""
        leader = _stat(self.leader)
        return self.boot == _boot() and bool(leader) and leader[1] == self.started

    def end(self, gently: signal.Signals | None, grace_s: float, *, asked: bool = False) -> bool:
        """End the session: ask its leader first where it can stop cleanly, then kill. True if any was alive.

        `asked` says that somebody has asked already; a second signal would cut the clean stop short.
        """
        if not self.members():
            return False
        if (gently or asked) and self.is_led():
            with contextlib.suppress(ProcessLookupError):
                if not asked:
                    os.kill(self.leader, gently)
            asked = time.monotonic()
            while self.members() and time.monotonic() < asked + grace_s:
                time.sleep(POLL_S)
        killed = time.monotonic()
        while alive := self.members():
            if time.monotonic() > killed + KILL_S:
                raise RuntimeError(f"Processes {alive} do not end, not even by SIGKILL. End them, then start again.")
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)
        return True


def lead(service: str) -> None:
    """Make this process the leader of a new session and remember it as the service's.

    The supervisor starts a program as leader of a group, and such a leader may not open a session: it joins its
    parent's group first. The number stays the same, so the supervisor still finds it.
    """
    if os.getsid(0) != os.getpid():
        if os.getpgid(0) == os.getpid():
            os.setpgid(0, os.getpgid(os.getppid()))
        os.setsid()
    own = _stat(os.getpid())
    half = RUN / f".{service}.session.{os.getpid()}"
    half.write_text(f"{os.getpid()} {own[1]} {_boot()}\n")
    half.rename(RUN / f"{service}.session")


def recorded(service: str) -> Session | None:
    """The session that the service last ran in, or None."""
    try:
        leader, started, boot = (RUN / f"{service}.session").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return Session(int(leader), int(started), boot)


def _stat(pid: int) -> tuple[int, int] | None:
    """Session and start time of a process; None when it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else (int(fields[3]), int(fields[19]))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
