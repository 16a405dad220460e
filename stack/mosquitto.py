"""Configuration of the distributed profile's MQTT broker, Mosquitto: `write(folder, …)`, and a server that takes it.

What must hold as for the embedded broker: no anonymous client, bridges and cameras only publish and readers only read,
sessions are kept for ever, and what was acknowledged survives a kill. A denied publish is answered like an accepted
one (MQTT 3.1.1 knows no other answer) and dropped, so a change of the topics' prefix must reach the ACL first.
"""

import base64
import hashlib
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from include.settings import secret

USERS = ("bridge", "recorder", "camera", "cameras")
_ROUNDS = 101  # what mosquitto_passwd takes

# The whole store is written at every change: Mosquitto's other modes lose acknowledged messages when it is killed.
# So a recorder should not be away for hours; bridges keep their messages when this broker is slow or away.
_CONFIGURATION = Template("""\
user $user
per_listener_settings false
allow_anonymous false
password_file $folder/passwords
acl_file $folder/acl

persistence true
persistence_location $data/
autosave_on_changes true
autosave_interval 1

max_inflight_messages 30000
max_queued_messages 0
max_queued_bytes 0
message_size_limit 8388608

log_dest stderr
log_type error
log_type warning
log_type notice

listener $port $host
""")
_TLS = Template("""
listener $port $host
certfile $certificate
keyfile $key
tls_version tlsv1.2
""")
_ACL = """\
user bridge
topic write ot/v1/#
topic write spBv1.0/#

user recorder
topic read ot/v1/#
topic read spBv1.0/#

user camera
topic write vision/v1/#

user cameras
topic read vision/v1/#
"""


@dataclass(frozen=True)
class Tls:
    """The TLS listener: the broker's certificate with its chain, and its key."""

    port: int
    certificate: str
    key: str
    host: str = "0.0.0.0"


def write(
    folder: Path, *, port: int, host: str = "127.0.0.1", tls: Tls | None = None, seen_at: str = "", data: str = ""
) -> Path:
    """Write mosquitto.conf, passwords and acl. The server sees `folder` at `seen_at` and keeps its state in `data`.

    Bridges on other hosts come in by TLS alone: without it only `host` listens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen_at = seen_at or str(folder)
    user = pwd.getpwuid(os.geteuid()).pw_name  # started by root, it would become somebody who may not read these files
    text = _CONFIGURATION.substitute(folder=seen_at, data=data or seen_at, port=port, host=host, user=user)
    if tls:
        text += _TLS.substitute(port=tls.port, host=tls.host, certificate=tls.certificate, key=tls.key)
    _private(folder / "mosquitto.conf", text)
    _private(folder / "acl", _ACL)
    _private(folder / "passwords", passwords(USERS))
    return folder / "mosquitto.conf"


def passwords(users: Iterable[str]) -> str:
    """Mosquitto's password file: each user's secret `mqtt_<user>`, salted and hashed as mosquitto_passwd does."""
    lines = []
    for user in users:
        salt = os.urandom(12)
        digest = hashlib.pbkdf2_hmac("sha512", secret(f"mqtt_{user}").encode(), salt, _ROUNDS)
        text = "$".join(base64.b64encode(part).decode() for part in (salt, digest))
        lines.append(f"{user}:$7${_ROUNDS}${text}\n")
    return "".join(lines)


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
