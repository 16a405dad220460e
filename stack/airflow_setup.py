"""Airflow's metadata database and its one user: made or migrated once per version, in one process.

Each of Airflow's own commands pays its import again, so `db migrate`, `fab-db migrate` and `users create` happen here
together.
"""

import hashlib
import subprocess

from include.settings import ROOT, secret
from stack.airflow_env import ADMIN, HOME, airflow_environment
from stack.cluster.airflow import programs
from stack.progress import Progress

STAMP = HOME / "set_up"


def set_up(progress: Progress) -> None:
    """Bring the metadata database to this version, unless it is."""
    wanted = hashlib.sha256((ROOT / "requirements.txt").read_bytes() + secret("airflow_admin").encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    with progress.step("Airflow's database"):
        done = subprocess.run(
            [str(programs() / "python"), "-m", "stack.airflow_setup"],
            cwd=ROOT,
            env=airflow_environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"Airflow's database cannot be set up:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    STAMP.write_text(wanted)


def migrate() -> None:
    from airflow.utils import db
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    providers_configuration_loaded(db.upgradedb)()


def make_admin() -> None:
    """Create the user, or give it the password of the secret file."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        if user := manager.find_user(ADMIN):
            manager.reset_password(user.id, secret("airflow_admin"))
            return
        role = manager.find_role("Admin")
        if not manager.add_user(ADMIN, "Platform", "Administrator", "admin@localhost", role, secret("airflow_admin")):
            raise SystemExit("FAB refused to create the user")


if __name__ == "__main__":
    migrate()
    make_admin()
