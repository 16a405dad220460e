"""A bridge on a host of its own: installed from the archive alone, by TLS, with its disk before the broker."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from include.errors import DeclarationError
from include.ot import mqtt
from include.ot.reading import decode
from include.settings import secret, settings
from stack.bridge_package import FOLDER, build, modules
from tests.ot.authority import Authority
from tests.ot.brokers import Nats, Taken, eventually

pytestmark = pytest.mark.platform  # each starts servers of its own


def unpacked(folder: Path, *sources: str) -> Path:
    with tarfile.open(build(folder / "bridge.tar.gz", sources)) as archive:
        archive.extractall(folder, filter="data")
    return folder / FOLDER


def test_it_holds_what_a_bridge_imports_and_nothing_of_the_platform():
    names = {path.stem for path in modules()}

    assert {"bridge", "outbox", "opcua", "modbus", "mtconnect", "settings"} <= names
    assert not names & {"lakehouse", "recorder", "spool", "mirror", "hot", "catalog"}


def test_two_archives_of_the_same_files_are_the_same(tmp_path):
    assert build(tmp_path / "a.tar.gz").read_bytes() == build(tmp_path / "b.tar.gz").read_bytes()


def test_it_knows_the_sources_that_were_chosen(tmp_path):
    bridge = unpacked(tmp_path, "field_rtu")

    assert [path.stem for path in (bridge / "include/ot/sources").iterdir()] == ["field_rtu"]
    with pytest.raises(DeclarationError, match="No OT source nowhere is declared; known: field_rtu"):
        build(tmp_path / "c.tar.gz", ["nowhere"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "password-file"),
        (["mqtt://10.0.0.1:1883"], "never crosses a network in clear"),
        (["mqtts://broker:8883"], "certificate authority is needed"),
        (["broker:8883"], "is no broker address"),
    ],
)
def test_the_installer_refuses_what_would_not_be_safe(tmp_path, arguments, said):
    done = subprocess.run(
        ["sh", str(unpacked(tmp_path) / "install.sh"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 2 and said in done.stdout + done.stderr


def test_it_installs_and_runs_alone_and_keeps_what_a_broker_that_is_away_cannot_take(tmp_path, monkeypatch):
    bridge, authority = unpacked(tmp_path, "field_rtu"), Authority(tmp_path / "authority")
    ot = settings.ot.model_copy(update={"broker_ca": authority.certificate})
    monkeypatch.setattr(mqtt, "settings", settings.model_copy(update={"ot": ot}))
    broker = Nats(tmp_path / "broker", authority.issue("127.0.0.1"))
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("HNAI_", "PYTHON"))}

    def life() -> subprocess.Popen:
        """The device is never there: that its tags have no value is a reading, and needs no plant."""
        return subprocess.Popen([".venv/bin/python", "-m", "include.ot.bridge", "field_rtu"], cwd=bridge, env=alone)

    broker.start()
    subprocess.run(
        ["sh", "install.sh", broker.url, str(authority.certificate)],
        cwd=bridge,
        input=secret("mqtt_bridge"),
        text=True,
        check=True,
        env={**alone, "PYTHON": sys.executable},
    )
    assert (bridge / ".hnai/secrets/mqtt_bridge").stat().st_mode & 0o077 == 0
    first = life()
    try:
        with Taken(broker.url) as recorder:
            eventually(lambda: recorder.deliveries, "a message over TLS")
    finally:
        broker.kill()
        first.kill()
        first.wait()
    second, health = life(), bridge / ".hnai/ot/field_rtu/health.json"
    try:
        eventually(lambda: waiting_of(health, second.pid), "a message waits on the disk")
        broker.start()
        with Taken(broker.url) as later:
            eventually(lambda: later.deliveries and not waiting_of(health, second.pid), "all of it is sent")
    finally:
        second.kill()
        second.wait()
        broker.stop()
    messages = [decode(delivery.payload) for delivery in (*recorder.deliveries, *later.deliveries)]
    numbers = {message.number for message in messages}
    assert numbers == set(range(1, max(numbers) + 1)) and len({message.store for message in messages}) == 1


def waiting_of(health: Path, pid: int) -> int:
    """Messages that this life of the bridge says are waiting."""
    told = json.loads(health.read_text())
    return told["outbox"]["waiting"] if told["pid"] == pid else 0
