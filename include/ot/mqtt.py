"""MQTT for bridges and recorders: at least once, sessions that outlive both sides, and errors that say what to do.

MQTT 3.1.1, which every broker speaks. Both classes connect in the background and for ever; `problem` tells why
they are not connected, or None. Nothing they call back may raise or block for long: it runs in the network thread.
"""

import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from include.errors import OtError
from include.settings import secret, settings

log = logging.getLogger(__name__)

RECORDER = "recorder"  # the recorder's user and client id: its session is what keeps messages for it
PORTS = {"mqtt": 1883, "mqtts": 8883}
WINDOW = 64  # messages on their way to the broker at one time
KEEPALIVE_S = 30
RETRY_S = (0.25, 5)  # first and longest pause between two attempts to connect
REFUSED = (4, 5, 134, 135)  # CONNACK: bad user name or password, not authorised (MQTT 3 and 5)


def broker_url() -> str:
    """Where the broker is: `settings.ot.broker_url`, or the platform's own."""
    return settings.ot.broker_url or own_broker_url()


def own_broker_url() -> str:
    """Where the embedded broker is for this host; it speaks TLS where it has a certificate."""
    scheme = "mqtts" if settings.ot.broker_certificate else "mqtt"
    return f"{scheme}://{settings.ot.broker_listen or settings.host}:{settings.port('mqtt')}"


class _Connection:
    """What publisher and subscriber share: one connection to the broker, made again whenever it is lost."""

    is_quiet = False  # whether what goes wrong is told by `problem` alone

    def __init__(self, user: str, client_id: str, url: str | None = None, clean_session: bool = False) -> None:
        self.user, self.url = user, url or broker_url()
        address = _address(self.url)
        self.connected_at: float | None = None  # monotonic
        self.has_session = False  # whether the broker still had our session when it took the connection
        self.is_answered = False  # whether an attempt to connect has succeeded or failed
        self.problem: str | None = f"no answer yet from the broker at {self.url}"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean_session, manual_ack=True
        )
        self._client.username_pw_set(user, secret(f"mqtt_{user}"))
        if address.scheme == "mqtts":
            self._client.tls_set_context(_tls())
        self._client.max_inflight_messages_set(WINDOW)
        self._client.reconnect_delay_set(*RETRY_S)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.connect_async(address.hostname, address.port or PORTS[address.scheme], KEEPALIVE_S)

    @property
    def is_connected(self) -> bool:
        return self.problem is None

    def start(self) -> None:
        """Connect in the background. Returns at once."""
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self.problem = "stopped"
        self._client.disconnect()
        self._client.loop_stop()

    def renew(self) -> None:
        """Cut the connection, so that it is made again and what was not acknowledged is sent again."""
        if wire := self._client.socket():
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.debug("The connection to %s is gone already: %s", self.url, error)

    def _connected(self) -> None:
        """What to do once the broker has taken us in."""
        self._report(None)

    def _on_connect(self, _client, _userdata, flags, reason, _properties) -> None:
        if not reason.is_failure:
            self.has_session = flags.session_present
            self._connected()
        elif reason.value in REFUSED:
            self._report(
                f"the broker at {self.url} refuses user {self.user!r}: {reason}. Is "
                f"{settings.secrets_dir / f'mqtt_{self.user}'} the password that the broker knows, and "
                "HNAI_OT__BROKER_URL the right broker?"
            )
        else:
            self._report(f"the broker at {self.url} does not take the connection: {reason}")

    def _on_connect_fail(self, _client, _userdata) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLCertVerificationError):
            self._report(
                f"the certificate of the broker at {self.url} is not trusted: {error.verify_message}. "
                "Set HNAI_OT__BROKER_CA to the authority that signed it"
            )
        else:
            self._report(f"the broker at {self.url} does not answer: {error}. Is it up, and HNAI_OT__BROKER_URL right?")

    def _on_disconnect(self, _client, _userdata, _flags, reason, _properties) -> None:
        if self.problem is None:
            self._report(f"the connection to the broker at {self.url} was lost: {reason}")

    def _report(self, problem: str | None) -> None:
        if problem != self.problem and not self.is_quiet:
            if problem is None:
                log.info("Connected to the broker at %s as %s", self.url, self.user)
            else:
                log.warning("%s", problem[0].upper() + problem[1:])
        self.problem = problem
        self.connected_at = time.monotonic() if problem is None else None
        self.is_answered = True


class Publisher(_Connection):
    """Sends messages at QoS 1. One that was not acknowledged is sent again over the next connection.

    `on_acked` is called with the number that `publish` gave, once the broker has the message on disk.
    """

    def __init__(self, user: str, client_id: str, on_acked: Callable[[int], None], *, url: str | None = None) -> None:
        super().__init__(user, client_id, url)
        self._client.on_publish = lambda _client, _userdata, mid, _reason, _properties: on_acked(mid)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> int:
        """Hand a message over; away or not, it goes out as soon as it can. At most `WINDOW` at one time."""
        sent = self._client.publish(topic, payload, qos=qos)
        if sent.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise OtError(f"A message to {topic} cannot be sent: {paho.error_string(sent.rc)}")
        return sent.mid


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message from the broker, which has it until `ack` is called (from any thread)."""

    topic: str
    payload: bytes
    ack: Callable[[], None]
    qos: int = 1  # 0: nobody keeps it, and `ack` does nothing


class Subscriber(_Connection):
    """Takes messages at QoS 1 and acknowledges each only when told to.

    What is not acknowledged comes again: over the next connection, or after the broker's wait. An `ack` for a message
    of an earlier connection does nothing, because its packet number may be another message's by now.
    """

    def __init__(
        self,
        user: str,
        client_id: str,
        topic_filter: str,
        on_message: Callable[[Delivery], None],
        *,
        url: str | None = None,
    ) -> None:
        super().__init__(user, client_id, url)
        self.topic_filter = topic_filter
        self._hand_over = on_message
        self._life = 0  # counts connections
        self._guard = threading.Lock()
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_pre_connect = lambda _client, _userdata: self._next_life()

    def _connected(self) -> None:
        self._client.subscribe(self.topic_filter, qos=1)  # connected once the broker has granted it

    def _on_subscribe(self, _client, _userdata, _mid, reasons, _properties) -> None:
        if any(reason.is_failure for reason in reasons):
            self._report(
                f"the broker at {self.url} does not let user {self.user!r} subscribe to {self.topic_filter}. "
                "Give that user the right to read it in the broker's configuration"
            )
        else:
            self._report(None)

    def _on_message(self, _client, _userdata, message: paho.MQTTMessage) -> None:
        life, mid = self._life, message.mid

        def ack() -> None:
            with self._guard:
                if life == self._life:
                    self._client.ack(mid, 1)

        try:
            self._hand_over(Delivery(message.topic, message.payload, ack if message.qos else _nothing, message.qos))
        except Exception:
            log.exception("A message on %s was not taken; the broker will send it again", message.topic)

    def _on_disconnect(self, *arguments) -> None:
        self._next_life()
        super()._on_disconnect(*arguments)

    def _next_life(self) -> None:
        with self._guard:
            self._life += 1


class _Probe(_Connection):
    is_quiet = True


def problem_with(user: str, url: str | None = None, wait_s: float = 5.0) -> str | None:
    """Try a connection as `user`: None where the broker takes it, else what is wrong."""
    probe = _Probe(user, f"probe-{uuid4().hex[:12]}", url, clean_session=True)
    probe.start()
    deadline = time.monotonic() + wait_s
    while not probe.is_answered and time.monotonic() < deadline:
        time.sleep(0.01)
    problem = probe.problem
    probe.stop()
    return problem


def _nothing() -> None:
    """The acknowledgement of a message that nobody waits for."""


def _address(url: str) -> SplitResult:
    address = urlsplit(url)
    try:
        if address.scheme in PORTS and address.hostname and address.port != 0:
            return address
    except ValueError:  # a port that is no number
        pass
    raise OtError(f"HNAI_OT__BROKER_URL is {url!r}; it must be mqtt://host:port or mqtts://host:port")


def _tls() -> ssl.SSLContext:
    authority = settings.ot.broker_ca
    try:
        return ssl.create_default_context(cafile=authority and str(authority))
    except (OSError, ssl.SSLError) as error:
        raise OtError(f"HNAI_OT__BROKER_CA, {authority}, cannot be read as a certificate: {error}") from error
