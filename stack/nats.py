"""The embedded MQTT broker: a NATS server with its MQTT listener, messages and sessions in files.

What is acknowledged is on disk: every write is synced, which costs little because messages hold many readings each.
A message that no session waits for is not kept, so the recorder's session is made before the port opens for the
first time.
"""

import os
import socket
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path
from string import Template

from include.ot.mqtt import RECORDER, Subscriber, own_broker_url, problem_with
from include.ot.topics import EVERYTHING
from include.packs.factorypack import camera_messages
from include.settings import secret, settings
from stack.layout import BIN, STATE

FOLDER = STATE / "nats"
SESSION, CAMERA_SESSION = "session", "session-cameras"  # files that exist once these sessions do
ACK_WAIT_S = 30
FIRST_START_S = 60.0

# MQTT topics are NATS subjects with dots, and `a/#` is both `a` and `a.>`. The server hands a client what it has
# subscribed to through a subject below $MQTT.sub. All subscriptions of a session together may have 65,535 messages
# in flight; `ot/v1/#` is two of them. What was not acknowledged comes again after `ack_wait`, over a new connection
# too: it must be longer than a recorder takes to seal, and is how long its last second stays away when it was killed.
_CONFIGURATION = Template("""\
server_name: hnai
listen: "$host:$port"
$monitor
max_payload: 8MB
jetstream { store_dir: "$folder", sync_interval: always }
mqtt { listen: "$mqtt_host:$mqtt_port", $tls ack_wait: "${ack_wait_s}s", max_ack_pending: 30000 }
accounts {
  OT {
    jetstream: enabled
    users: [
      {
        user: bridge, password: "$bridge", allowed_connection_types: [MQTT]
        permissions: { publish: ["ot.v1.>", "spBv1//0.>"], subscribe: { deny: ">" } }
      }
      {
        user: recorder, password: "$recorder", allowed_connection_types: [MQTT]
        permissions: {
          publish: { deny: ">" }
          subscribe: ["ot.v1", "ot.v1.>", "spBv1//0", "spBv1//0.>", "$$MQTT.sub.>"]
        }
      }
      {
        user: camera, password: "$camera", allowed_connection_types: [MQTT]
        permissions: { publish: ["vision.v1.>"], subscribe: { deny: ">" } }
      }
      {
        user: cameras, password: "$cameras", allowed_connection_types: [MQTT]
        permissions: { publish: { deny: ">" }, subscribe: ["vision.v1", "vision.v1.>", "$$MQTT.sub.>"] }
      }
    ]
  }
}
""")


def configure(
    folder: Path,
    mqtt_port: int,
    port: int,
    monitor_port: int | None = None,
    ack_wait_s: int = ACK_WAIT_S,
    mqtt_host: str = settings.host,
    tls: tuple[Path, Path] | None = None,
) -> Path:
    """Write the server's configuration, with the passwords of its users, readable by its owner alone.

    `tls` is certificate and key; with them the MQTT listener takes encrypted connections only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nats.conf"
    text = _CONFIGURATION.substitute(
        host=settings.host,
        port=port,
        mqtt_host=mqtt_host,
        mqtt_port=mqtt_port,
        tls="" if tls is None else f'tls {{ cert_file: "{tls[0].resolve()}", key_file: "{tls[1].resolve()}" }},',
        monitor="" if monitor_port is None else f'http: "{settings.host}:{monitor_port}"',
        folder=folder,
        ack_wait_s=ack_wait_s,
        bridge=secret("mqtt_bridge"),
        recorder=secret("mqtt_recorder"),
        camera=secret("mqtt_camera"),
        cameras=secret("mqtt_cameras"),
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return path


def command(configuration: Path = FOLDER / "nats.conf") -> list[str]:
    return [str(BIN / "nats-server"), "-c", str(configuration)]


def ports() -> dict[str, int]:
    return {name: settings.port(name) for name in ("mqtt", "nats", "nats_monitor")}


def url() -> str:
    return own_broker_url()


def is_healthy() -> str | None:
    """None once the broker takes a bridge's connection, else the reason."""
    return problem_with("bridge", url())


def prepare() -> None:
    host, tls = listener()
    make_session(FOLDER, has_cameras=settings.ot.camera_messages)
    ports = [settings.port(name) for name in ("mqtt", "nats", "nats_monitor")]
    configure(FOLDER, *ports, mqtt_host=host, tls=tls)


def listener() -> tuple[str, tuple[Path, Path] | None]:
    """Where the MQTT listener binds, and its certificate and key. Beyond loopback it must have them."""
    ot = settings.ot
    host = ot.broker_listen or settings.host
    files = (ot.broker_certificate, ot.broker_key)
    if any(files) and not all(path and path.is_file() for path in files):
        raise RuntimeError(
            f"The broker's certificate or key is missing: HNAI_OT__BROKER_CERTIFICATE is {files[0]}, "
            f"HNAI_OT__BROKER_KEY is {files[1]}. Both must name a file"
        )
    if not all(files) and not ip_address(host).is_loopback:
        raise RuntimeError(
            f"HNAI_OT__BROKER_LISTEN is {host}, and passwords would cross the network in clear. "
            "Set HNAI_OT__BROKER_CERTIFICATE and HNAI_OT__BROKER_KEY as well, or listen on 127.0.0.1"
        )
    return host, files if all(files) else None


def make_session(folder: Path, ack_wait_s: int = ACK_WAIT_S, *, has_cameras: bool = False) -> None:
    """Make the sessions of the recorder, and of what takes cameras' results where there is such, on a port that nobody
    knows, unless they were made before. Each keeps its `ack_wait_s`."""
    wanted = {SESSION: (RECORDER, EVERYTHING)}
    if has_cameras:
        wanted[CAMERA_SESSION] = (camera_messages.USER, camera_messages.EVERYTHING)
    missing = {name: whose for name, whose in wanted.items() if not (folder / name).exists()}
    if not missing:
        return
    mqtt_port, port = _free_ports(2)
    server = subprocess.Popen(
        command(configure(folder, mqtt_port, port, ack_wait_s=ack_wait_s)), stderr=subprocess.DEVNULL
    )
    url = f"mqtt://{settings.host}:{mqtt_port}"
    readers = [Subscriber(user, user, topics, lambda _: None, url=url) for user, topics in missing.values()]
    try:
        for reader in readers:
            reader.is_quiet = True
            reader.start()
        deadline = time.monotonic() + FIRST_START_S
        while problem := next((reader.problem for reader in readers if not reader.is_connected), None):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The MQTT broker does not start ({problem}). Try: {' '.join(server.args)}")
            time.sleep(0.02)
    finally:
        for reader in readers:
            reader.stop()
        server.terminate()
        server.wait()
    for name in missing:
        (folder / name).touch()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((settings.host, 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found
