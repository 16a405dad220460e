"""Start and stop the platform: in order, each step checked, and safe to repeat at any moment."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from stack import leftovers, postgres, preflight, supervisor
from stack.buckets import make_buckets
from stack.cluster.fetch import fetch
from stack.layout import RUN, STATE, make_folders
from stack.progress import Progress
from stack.secrets import make_secrets
from stack.services import AIRFLOW, BROKERS, EARLY, LAKE, LATE, PLATFORM, SERVICES

POLL_S = 0.1
MOST_LIVES = 4  # a service that ended this often while one waited for it will not come up


class NotHealthy(RuntimeError):
    """A service did not become healthy in time; the message names it, the reason and its log."""


def up(
    services: Sequence[str] = PLATFORM, progress: Progress | None = None, beside: Callable[[], None] = lambda: None
) -> None:
    """Start `services` and return once each is healthy. What runs already is left alone.

    `beside` is called once the stores are healthy; what it starts runs beside Airflow's slow start.
    """
    progress = progress or Progress()
    preflight.check_system()
    preflight.check_installed(services)
    make_folders()
    with _only_one_starts():
        make_secrets()
        fetch((server for name in services for server in SERVICES[name].servers), progress)
        _have_supervisor(services, progress)
        lake = [name for name in LAKE if name in services]
        supervisor.start(lake)
        _await([name for name in lake if name != "recover"], progress)
        if "postgres" in services:
            with progress.step("roles and databases"):
                postgres.make_roles()
        make_buckets()
        beside()
        supervisor.start(name for name in services if name in EARLY)
        if any(name in AIRFLOW for name in services):
            from stack.airflow_setup import set_up

            set_up(progress)
            supervisor.start(name for name in services if name in AIRFLOW)
        brokers = [name for name in services if name in BROKERS]
        _await(brokers, progress)
        supervisor.start(name for name in services if name not in (*LAKE, *AIRFLOW, *EARLY))
        _await([name for name in services if name not in (*lake, *brokers) or name == "recover"], progress)


def down(progress: Progress | None = None) -> None:
    """Stop everything, readers first and stores last, and whatever an earlier run left behind."""
    progress = progress or Progress()
    running = supervisor.is_running()
    readers = [name for name in SERVICES if name not in (*LAKE, *LATE) or name == "recover"]
    for names in (readers, [name for name in SERVICES if name in LATE], LAKE):
        alive = [name for name in names if (left := leftovers.recorded(name)) and left.members()]
        if running:
            supervisor.stop(names)
        for name in alive:
            _end(name, progress, "stop", asked=running)
    if running:
        supervisor.shut_down()


def _end(name: str, progress: Progress, verb: str, *, asked: bool = False) -> None:
    """End what is alive of a service, unless it ends by itself in time."""
    service, left = SERVICES[name], leftovers.recorded(name)
    with progress.step(f"{verb} {name}"):
        left.end(None if service.leaves_tasks else service.stop_signal, service.grace_s, asked=asked)


def forget() -> None:
    """Delete all state of a stopped platform."""
    if not STATE.exists():
        return
    if any(STATE.iterdir()) and not RUN.is_dir():
        raise RuntimeError(f"{STATE} does not look like a state folder of this platform. Delete it by hand if it is.")
    shutil.rmtree(STATE)


def _have_supervisor(services: Sequence[str], progress: Progress) -> None:
    if supervisor.is_running():
        if not supervisor.configuration_changed():
            states = supervisor.states().items()
            running = {name for name, state in states if state["statename"] in ("STARTING", "RUNNING")}
            preflight.check_ports([name for name in services if name not in running])
            return
        progress.say("  the configuration has changed: restarting every service")
        down(progress)
    for name in reversed(SERVICES):  # a supervisor that was killed leaves its services running
        left = leftovers.recorded(name)
        if left and left.members():
            _end(name, progress, "end an earlier")
    preflight.check_ports(services)
    with progress.step("supervisor"):
        supervisor.launch()


def _await(names: Iterable[str], progress: Progress) -> None:
    """Wait for services that start side by side; report each as it becomes healthy."""
    begun = time.monotonic()
    waiting = list(names)
    lives: dict[str, set[int]] = {name: set() for name in waiting}
    while waiting:
        states = supervisor.states()
        for name in list(waiting):
            reason = SERVICES[name].is_healthy()
            passed = time.monotonic() - begun
            lives[name].add(states.get(name, {}).get("start", 0))
            if reason is None:
                progress.done(name, passed)
                waiting.remove(name)
            elif passed > SERVICES[name].start_timeout_s or len(lives[name]) > MOST_LIVES:
                raise NotHealthy(
                    f"{name} is not healthy after {passed:.0f} s: {reason}.\n"
                    f"Its log ends with:\n{_tail(name)}\nRead {SERVICES[name].log}, then run `make up` again."
                )
        time.sleep(POLL_S)


def _tail(name: str, lines: int = 15) -> str:
    log = SERVICES[name].log
    if not log.exists():
        return "    (nothing was written)"
    return "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def _only_one_starts() -> Iterator[None]:
    with (RUN / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("Another `make up` or `make demo` is starting the platform. Wait for it.") from None
        yield
