"""Makes the pools that the DAGs need, when Airflow starts and when a run does, so that a new pack needs no set-up.

A task whose pool does not exist waits for ever without a word. Slots that somebody changed by hand stay changed.
"""

from airflow.listeners import hookimpl

from include.catalog import packs
from include.settings import settings as ours
from plugins.defaults import BACKFILL_POOL, DRAIN_POOL, ENGINE_POOL, LANDING_POOL, publish_pool

_made: set[str] = set()  # by this scheduler process


@hookimpl
def on_starting(component) -> None:
    if type(component).__name__ == "Job":  # scheduler, triggerer or processor; a task has no database
        make_pools()


@hookimpl
def on_dag_run_running(dag_run, msg) -> None:
    make_pools()


def make_pools() -> None:
    """Create the pools that are missing.

    One slot each, so that publishes of a pack, or drains, come one at a time; the engine's has as many as the setting
    `airflow.parallel_builds` says when it is made.

    In a session of its own: the scheduler calls from within a transaction that must not be committed here.
    """
    from airflow import settings
    from airflow.models.pool import Pool
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    wanted = {publish_pool(pack): f"Publishes of {pack}, one at a time" for pack in packs()}
    wanted[LANDING_POOL] = "Partner files, in order of arrival"
    wanted[DRAIN_POOL] = "Segments of the OT mirror, one drain at a time"
    wanted[BACKFILL_POOL] = "Gaps of the OT mirror, one at a time"
    wanted[ENGINE_POOL] = "Layers of closes that the engine builds at one time"
    for name, why in wanted.items():
        if name in _made:
            continue
        slots = ours.airflow.parallel_builds if name == ENGINE_POOL else 1
        with settings.NonScopedSession() as session:
            if session.scalar(select(Pool.id).where(Pool.pool == name)) is None:
                session.add(Pool(pool=name, slots=slots, description=why, include_deferred=True))
                try:
                    session.commit()
                except IntegrityError:  # another process made it in the same instant
                    session.rollback()
        _made.add(name)
