"""A platform of one's own for tests: a temporary state folder, free ports, the same code as `make up`.

Settings are read when `include.settings` is first imported, so `reserve()` must run before that (`tests/conftest.py`).
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# No two ports of the plan differ by a small multiple of 37. None may reach 32768: from there on the system hands
# ports to outgoing connections, and a service that is killed may find its own taken when it comes back.
SHIFTS = range(1_000, 10_000, 37)
PORTS = (
    8080,
    1883,
    4222,
    8223,
    4840,
    5020,
    5000,
    8333,
    8181,
    5433,
    8083,
    9343,
    8888,
    9340,
    12646,
    8090,
    9092,
    9093,
    19120,
    19121,
    6379,
    18333,
    19343,
    18888,
    19340,
    22646,
)


def reserve() -> tuple[Path, int]:
    """Choose a state folder and a port shift, and put them into the environment for this process and its children."""
    folder = Path(tempfile.mkdtemp(prefix="hnai-test-"))
    folder.chmod(0o711)
    shift = free_shift()
    os.environ["HNAI_STATE_DIR"] = str(folder)
    os.environ["HNAI_PORT_SHIFT"] = str(shift)
    return folder, shift


def free_shift() -> int:
    """A port shift at which nothing listens; of this process until it ends, so that no other one chooses it as well."""
    return next(shift for shift in random.sample(SHIFTS, len(SHIFTS)) if _is_ours(shift) and _are_free(shift))


def start(services: tuple[str, ...] = ("seaweedfs", "postgres")) -> None:
    """Start services of the reserved platform; those that run already are left alone."""
    from stack.platform import up
    from stack.progress import Progress

    up(services, Progress(quiet=True))


def stop() -> None:
    from stack.platform import down
    from stack.progress import Progress

    down(Progress(quiet=True))


def _is_ours(shift: int) -> bool:
    claim = os.open(Path(tempfile.gettempdir()) / f"hnai-ports-{os.getuid()}-{shift}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    return True  # left open: the lock goes with the process


def _are_free(shift: int) -> bool:
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port + shift))
            except OSError:
                return False
    return True
