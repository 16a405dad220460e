"""Airflow on an empty database of its own, for tests that load DAGs."""

import os
import tempfile
from pathlib import Path

import pytest

from include.build import run_dbt
from include.settings import ROOT

HOME = Path(tempfile.mkdtemp(prefix="hnai-airflow-"))
AIRFLOW = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__OPENLINEAGE__DISABLED": "True",
}
os.environ.update(AIRFLOW)  # before the first import of airflow in this process


@pytest.fixture(scope="session")
def dag_bag():
    """Every DAG, loaded as Airflow's processor loads it."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags")


@pytest.fixture(scope="session")
def manifest(tmp_path_factory) -> dict:
    """dbt's manifest of the whole project, parsed without a connection."""
    outcome = run_dbt(["parse"], None, tmp_path_factory.mktemp("dbt"))
    assert outcome.success, outcome.exception
    return outcome.result.writable_manifest().to_dict()
