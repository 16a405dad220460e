"""Fixtures of the OT trials: both brokers, each as the platform configures it, in folders and on ports of their own."""

from collections.abc import Iterator

import pytest

from tests.ot.brokers import Broker, Mosquitto, Nats


@pytest.fixture(scope="session", autouse=True)
def ot_secrets() -> None:
    """The secrets of the state folder for tests, as `make up` makes them."""
    from stack.layout import make_folders
    from stack.secrets import make_secrets

    make_folders()
    make_secrets()


@pytest.fixture(params=[Nats, Mosquitto], ids=["nats", "mosquitto"])
def broker(request, tmp_path) -> Iterator[Broker]:
    """A running broker that has the recorder's session; `nats` is the embedded one."""
    yield from running(request.param(tmp_path / "broker"))


@pytest.fixture
def nats(tmp_path) -> Iterator[Broker]:
    """The embedded broker, running."""
    yield from running(Nats(tmp_path / "broker"))


def running(broker: Broker) -> Iterator[Broker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
