"""What a container is started with beside `stack.run`: `python -m stack.container secrets|databases|health SERVICE`."""

import sys

from stack import postgres
from stack.layout import make_folders
from stack.progress import Progress
from stack.secrets import make_secrets
from stack.services import SERVICES


def secrets() -> None:
    """Make folders and secrets; every other container waits for this one."""
    make_folders()
    make_secrets()


def databases() -> None:
    """Make roles, databases and buckets, and bring Airflow's database to this version."""
    from stack.airflow_setup import set_up
    from stack.buckets import make_buckets

    make_folders()
    postgres.make_roles({"marquez": "marquez"})
    make_buckets()
    set_up(Progress())


def health(service: str) -> None:
    if reason := SERVICES[service].is_healthy():
        raise SystemExit(reason)


if __name__ == "__main__":
    {"secrets": secrets, "databases": databases, "health": health}[sys.argv[1]](*sys.argv[2:])
