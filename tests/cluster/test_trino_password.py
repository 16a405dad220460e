"""A Trino of others: by TLS with a certificate of their own authority, and with a password."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from trino.exceptions import HttpError, TrinoConnectionError

from include import lakehouse
from include.build import run_dbt
from include.engine_trino import PASSWORD, connect
from include.errors import BadSetting
from include.settings import ROOT, secret, settings
from stack import testing
from stack.cluster import trino as own
from tests.ot.authority import Authority

pytestmark = [pytest.mark.platform, pytest.mark.torture]

SECRET, SALT = "correct horse battery staple", b"salted-for-a-trial"
ROUNDS, START_S = 1_000, 240
GUARDED = """
http-server.https.enabled=true
http-server.https.port={port}
http-server.https.keystore.path={keystore}
http-server.authentication.type=PASSWORD
internal-communication.shared-secret=of-this-trial-alone
"""
AUTHENTICATOR = "password-authenticator.name=file\nfile.password-file={passwords}\n"


@pytest.fixture(scope="module")
def guarded(trino, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A second Trino on the same lakehouse, with our configuration and a guard: its address, and who signed it."""
    folder = tmp_path_factory.mktemp("guarded")
    shift = testing.free_shift()
    plain, port = settings.ports.trino + shift, settings.ports.airflow + shift
    authority = Authority(folder, "company")
    certificate, key = authority.issue("localhost")
    keystore = folder / "keystore.pem"
    keystore.write_bytes(certificate.read_bytes() + key.read_bytes())
    proof = hashlib.pbkdf2_hmac("sha1", SECRET.encode(), SALT, ROUNDS, 32).hex()
    passwords = folder / "passwords"
    passwords.write_text(f"{settings.cluster.trino_user}:{ROUNDS}:{SALT.hex()}:{proof}\n")
    home = folder / "trino"
    shutil.copytree(ROOT / "deploy" / "trino", home)
    with (home / "etc" / "config.properties").open("a") as config:
        config.write(GUARDED.format(port=port, keystore=keystore))
    (home / "etc" / "password-authenticator.properties").write_text(AUTHENTICATOR.format(passwords=passwords))
    environment = own.environment() | {"TRINO_DATA": str(folder / "data"), "TRINO_PORT": str(plain)}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            ["/bin/sh", str(home / "start.sh")], env=os.environ | environment, stdout=log, stderr=log
        )
    try:
        address = f"https://localhost:{port}"
        _await_started(server, f"{address}/v1/info", authority.certificate, folder / "log")
        yield address, authority.certificate
    finally:
        server.terminate()
        server.wait()


def _await_started(server: subprocess.Popen, address: str, authority: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if not requests.get(address, verify=str(authority), timeout=5).json()["starting"]:
                return
        except requests.RequestException:
            pass
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.5)


@pytest.fixture
def settled(guarded, monkeypatch) -> Iterator[None]:
    """The settings name the guarded Trino, the environment its authority, and the secret is its password."""
    address, authority = guarded
    monkeypatch.setitem(settings.__dict__, "cluster", settings.cluster.model_copy(update={"trino_url": address}))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    write_down(SECRET)
    yield
    (settings.secrets_dir / PASSWORD).unlink()
    secret.cache_clear()


def write_down(password: str) -> None:
    path = settings.secrets_dir / PASSWORD
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    secret.cache_clear()


def ask() -> list:
    with connect() as connection:
        return connection.cursor().execute("select current_user").fetchall()


def test_models_are_built_and_the_password_is_written_nowhere(settled, tmp_path):
    assert ask() == [[settings.cluster.trino_user]]
    lakehouse.catalog().create_namespace_if_not_exists("ws_guarded")

    outcome = run_dbt(["build", "--select", "+dim_date"], "ws_guarded", tmp_path, target="distributed")

    assert outcome.exception is None
    results = {(r.node.name, str(r.status), r.message) for r in outcome.result.results}
    assert {result for result in results if result[1] not in ("success", "pass")} == set()
    assert lakehouse.table("ws_guarded.dim_date").scan().to_arrow().num_rows > 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in written)
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in str(dict(os.environ))


def test_a_wrong_password_and_a_certificate_of_nobody_known_are_refused(settled, monkeypatch):
    write_down("guess")
    with pytest.raises(HttpError, match="401"):
        ask()

    write_down(SECRET)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    with pytest.raises(TrinoConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        ask()


def test_a_password_never_goes_to_an_address_without_tls(settled, monkeypatch):
    unhidden = settings.cluster.model_copy(update={"trino_url": "http://trino.example.com:8080"})
    monkeypatch.setitem(settings.__dict__, "cluster", unhidden)

    with pytest.raises(BadSetting, match="HNAI_CLUSTER__TRINO_URL"):
        connect()
