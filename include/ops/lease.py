"""Leases in PostgreSQL: at most one process may publish a pack, or write a source, at a time.

A killed scheduler leaves its task running beside the retry, so a retry must be able to take over and the
older copy must then fail. Each taking over raises the lease's *fence* number. The commit step runs inside
`Lease.guard()`, which locks the lease's row: either the older copy still has its fence and nobody can take
over until its commit is answered, or it has lost and commits nothing.

A lease is free when it was released, when it expired, when the session of its holder is gone (the process
died), or when the same run asks again with a higher try number. An earlier try never takes over from a later.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from include.errors import HnaiError, LeaseLost
from include.settings import postgres_dsn, settings

log = logging.getLogger(__name__)

_TABLE = """
create table if not exists leases (
    name text primary key,
    holder text,
    try_number integer not null default 0,
    fence bigint not null default 0,
    expires_at timestamptz not null default '-infinity',
    backend_pid integer,
    backend_start timestamptz
)"""
_STATE = """
select holder, try_number, fence,
    expires_at > now() and exists (
        select 1 from pg_stat_activity a where a.pid = l.backend_pid and a.backend_start = l.backend_start
    ) as is_alive,
    greatest(extract(epoch from expires_at - now()), 0)::float as expires_in_s
from leases l where name = %s"""
_LOCK = f"{_STATE} for update"
_TAKE = """
update leases set holder = %s, try_number = %s, fence = fence + 1, expires_at = now() + make_interval(secs => %s),
    backend_pid = pg_backend_pid(),
    backend_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid())
where name = %s returning fence"""
_RENEW = "update leases set expires_at = now() + make_interval(secs => %s) where name = %s and fence = %s"
_RELEASE = "update leases set expires_at = now() where name = %s and fence = %s"
_GUARD_TIMEOUT_S = 180  # longer than the catalog's commit timeout; a holder frozen for longer is cut off


@dataclass
class Lease:
    """A lease that this process holds. Made by `hold`."""

    name: str
    holder: str
    try_number: int
    fence: int
    _connection: psycopg.Connection = field(repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run the commit step: nobody can take the lease over until the block ends.

        Raises `LeaseLost` before the block where somebody already did.
        """
        with self._lock:
            try:
                self._connection.execute("begin")
                row = self._connection.execute(
                    "select fence from leases where name = %s for update", [self.name]
                ).fetchone()
            except psycopg.Error as error:
                raise LeaseLost(f"{self._lost()} (its database session broke: {str(error).strip()})") from error
            try:
                if row is None or row[0] != self.fence:
                    raise LeaseLost(self._lost())
                yield
            finally:
                try:
                    self._connection.execute("rollback")  # gives the row's lock back; nothing was changed
                except psycopg.Error as error:
                    log.warning("The database session of lease %s broke after the guarded step: %s", self.name, error)

    def still_held(self) -> None:
        """Raise `LeaseLost` where somebody took over. For long steps; the commit itself uses `guard`."""
        with self.guard():
            pass

    def _lost(self) -> str:
        return (
            f"The lease {self.name!r} of {self.holder!r}, try {self.try_number}, was taken over; nothing was written. "
            "Let the other run finish"
        )

    def _renew_until_over(self) -> None:
        while not self._over.wait(settings.lease_s / 3):
            with self._lock:
                if self._over.is_set():
                    return
                try:
                    self._connection.execute(_RENEW, [settings.lease_s, self.name, self.fence])
                except psycopg.Error as error:
                    log.warning("The lease %s could not be renewed: %s", self.name, error)
                    return


def is_held(connection: psycopg.Connection, name: str) -> bool:
    """Whether a living process holds the lease, asked on a connection of the caller's own (database `hnai`)."""
    if connection.execute("select to_regclass('leases')").fetchone()[0] is None:
        return False
    row = connection.execute(f"select is_alive from ({_STATE}) as found", [name]).fetchone()
    return bool(row and row[0])


def _connected(name: str) -> psycopg.Connection:
    dsn = postgres_dsn("hnai", "hnai")
    try:
        return psycopg.connect(dsn, autocommit=True, application_name=f"lease {name}"[:63])
    except psycopg.OperationalError as error:
        raise HnaiError(
            f"The lease {name!r} cannot be asked for: PostgreSQL does not answer "
            f"({str(error).strip().splitlines()[0]}). Is the platform up? make status"
        ) from error


@contextmanager
def hold(name: str, holder: str, try_number: int = 1, *, wait_s: float | None = None) -> Iterator[Lease]:
    """Hold the lease `name` for the length of the block, renewed while the process lives.

    `holder` is the run, `try_number` its attempt. Waits up to `wait_s` (three lease times unless given) for
    another holder, then raises `LeaseLost`; `HnaiError` where PostgreSQL does not answer.
    """
    wait_s = settings.lease_s * 3 if wait_s is None else wait_s
    with _connected(name) as connection:
        connection.execute(f"set idle_in_transaction_session_timeout = '{_GUARD_TIMEOUT_S}s'")
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(5412201)")  # two first users at once
            connection.execute(_TABLE)
        fence = _acquire(connection, name, holder, try_number, time.monotonic() + wait_s)
        lease = Lease(name, holder, try_number, fence, connection)
        renewal = threading.Thread(target=lease._renew_until_over, name=f"lease-{name}", daemon=True)
        renewal.start()
        try:
            yield lease
        finally:
            lease._over.set()
            renewal.join()
            if not connection.closed:
                try:
                    connection.execute(_RELEASE, [name, fence])
                except psycopg.Error as error:
                    log.warning("The lease %s could not be released; it expires by itself: %s", name, error)


def _acquire(connection: psycopg.Connection, name: str, holder: str, try_number: int, deadline: float) -> int:
    while True:
        with connection.transaction():
            connection.execute("insert into leases (name) values (%s) on conflict do nothing", [name])
            other, other_try, _, is_alive, expires_in_s = connection.execute(_LOCK, [name]).fetchone()
            if other == holder and other_try > try_number:
                raise LeaseLost(
                    f"Try {other_try} of {holder!r} has taken over {name!r} from try {try_number}; let it finish"
                )
            if not is_alive or (other == holder and other_try < try_number):
                return connection.execute(_TAKE, [holder, try_number, settings.lease_s, name]).fetchone()[0]
        if time.monotonic() >= deadline:
            raise LeaseLost(
                f"{name!r} is held by {other!r}, try {other_try}, for {expires_in_s:.0f} s more unless renewed. "
                "Wait for that run, then clear this task"
            )
        time.sleep(0.2)
