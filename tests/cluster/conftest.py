"""The distributed profile: Kafka, Connect and Trino beside the stores, shared by all tests of this room."""

import shutil

import pytest

from include.settings import settings
from stack.cluster.fetch import ICEBERG, KAFKA, NESSIE, TRINO
from stack.cluster.java import NoJava, java17, java25

# Collected with other rooms, in their embedded profile, these tests have nothing to run on.
collect_ignore_glob = [] if settings.is_distributed else ["test_*.py"]


def pytest_collection_modifyitems(items) -> None:
    """The test that stops the servers, which all share, comes last."""
    items.sort(key=lambda item: item.name.startswith("test_after_stop"))


@pytest.fixture(scope="session")
def cluster(platform):
    """The platform on a machine that can run the servers: `cluster.start(("seaweedfs", "postgres", "trino"))`."""
    try:
        java17()
        java25()
    except NoJava as error:
        pytest.skip(str(error))
    if not shutil.which("mvn") and not all(server.is_there for server in (KAFKA, ICEBERG, NESSIE, TRINO)):
        pytest.skip("Maven is not on the PATH, and the servers are not fetched yet")
    return platform


@pytest.fixture(scope="session")
def trino(cluster):
    """Stores, the catalog of the settings and Trino, healthy."""
    from stack.services import LAKE

    cluster.start((*LAKE, "trino"))
    return cluster


@pytest.fixture(scope="session")
def kafka_connect(cluster):
    """Stores, Kafka and Connect, healthy."""
    cluster.start(("seaweedfs", "postgres", "recover", "kafka", "connect"))
    return cluster


@pytest.fixture(scope="module")
def trial(kafka_connect, tmp_path_factory):
    """The trial source on Kafka Connect, alone declared meanwhile. Tests of a file share it: each has its tables."""
    from tests.cluster.connect_trial import open_trial

    with open_trial(tmp_path_factory.mktemp("trial")) as trial:
        yield trial


@pytest.fixture(scope="session")
def landed(trino, tmp_path_factory):
    """Raw of both packs in the lakehouse, and Trino."""
    from tests.cluster import sample_lake

    sample_lake.land_energy(tmp_path_factory.mktemp("energy"))
    sample_lake.land_factory(tmp_path_factory.mktemp("factory"))
    return trino
