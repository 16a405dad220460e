"""What bridges and recorders rely on, of both brokers as the platform configures them."""

import os
import signal
import threading
from datetime import timedelta

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from include.errors import OtError
from include.ot import mqtt
from include.ot.mqtt import RECORDER, Delivery, Publisher, Subscriber, problem_with
from include.ot.topics import EVERYTHING
from include.settings import settings
from stack import nats as stack_nats
from stack import supervisor
from stack.leftovers import recorded
from stack.services import SERVICES
from tests.ot.authority import Authority
from tests.ot.brokers import Mosquitto, Nats, Taken, eventually
from tests.ot.conftest import running

pytestmark = pytest.mark.platform


def publish(url: str, *payloads: bytes, user: str = "bridge", topic: str = "ot/v1/hnai/mesquite") -> None:
    """Send messages and wait until the broker has acknowledged each."""
    acked: list[int] = []
    publisher = Publisher(user, f"{user}-of-the-trial", acked.append, url=url)
    publisher.start()
    for payload in payloads:
        publisher.publish(topic, payload)
    eventually(lambda: len(acked) == len(payloads), "every message is acknowledged")
    publisher.stop()


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def test_a_message_stays_with_the_broker_until_it_is_acknowledged(broker):
    publish(broker.url, b"one", b"two")

    with Taken(broker.url, acknowledges=False) as first:
        eventually(lambda: first.has(2))
        first.deliveries[first.payloads.index(b"one")].ack()
        publish(broker.url, b"three")
        eventually(lambda: first.has(3))

    with Taken(broker.url) as second:
        eventually(lambda: second.has(2))
        assert set(second.payloads) == {b"two", b"three"}


def test_a_killed_broker_still_has_what_it_acknowledged_and_whom_it_is_for(broker):
    publish(broker.url, *numbered(300))

    broker.kill()
    broker.start()

    with Taken(broker.url) as recorder:
        eventually(lambda: recorder.has(300))
        assert sorted(set(recorder.payloads)) == sorted(numbered(300))


def test_messages_handed_over_while_the_broker_is_away_arrive_once_it_is_back(broker):
    acked: list[int] = []
    publisher = Publisher("bridge", "bridge-of-the-trial", acked.append, url=broker.url)
    publisher.start()
    eventually(lambda: publisher.is_connected)
    broker.kill()
    eventually(lambda: publisher.problem)
    for payload in numbered(20):
        publisher.publish("ot/v1/hnai", payload)

    broker.start()

    with Taken(broker.url) as recorder:
        eventually(lambda: recorder.has(20))
        eventually(lambda: len(acked) == 20)
    publisher.stop()


def test_many_messages_may_wait_for_their_acknowledgement_at_one_time(broker):
    publish(broker.url, *numbered(2_000))

    with Taken(broker.url, acknowledges=False) as recorder:
        eventually(lambda: recorder.has(2_000), "2,000 messages in flight")


def test_an_acknowledgement_for_an_earlier_connection_touches_no_message(broker):
    publish(broker.url, b"one")
    with Taken(broker.url, acknowledges=False) as recorder:
        eventually(lambda: recorder.has(1))
        recorder.subscriber.renew()
        eventually(lambda: len(recorder.deliveries) == 2, "the message comes again")
        recorder.deliveries[0].ack()
        publish(broker.url, b"two")
        eventually(lambda: recorder.has(2))

    with Taken(broker.url) as later:
        eventually(lambda: later.has(2))


def test_acknowledgements_may_come_from_any_thread(broker):
    publish(broker.url, *numbered(200))
    with Taken(broker.url, acknowledges=False) as recorder:
        eventually(lambda: recorder.has(200))
        threads = [
            threading.Thread(target=lambda part=part: [delivery.ack() for delivery in part])
            for part in (recorder.deliveries[:100], recorder.deliveries[100:])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        publish(broker.url, b"last")
        eventually(lambda: recorder.has(201))

    with Taken(broker.url) as later:
        eventually(lambda: later.has(1))
        assert later.payloads == [b"last"]


def test_a_message_that_the_recorder_fails_on_comes_again_and_stops_no_other(broker):
    taken: list[bytes] = []

    def fail_once(delivery: Delivery) -> None:
        if delivery.payload == b"bad" and b"good" not in taken:
            raise ValueError("a bug")
        taken.append(delivery.payload)
        delivery.ack()

    subscriber = Subscriber(RECORDER, RECORDER, EVERYTHING, fail_once, url=broker.url)
    subscriber.start()
    publish(broker.url, b"bad", b"good")
    eventually(lambda: taken == [b"good"])
    subscriber.renew()
    eventually(lambda: taken == [b"good", b"bad"])
    subscriber.stop()


def test_a_bridge_may_not_read(broker):
    for topic in (EVERYTHING, "#", "ot/v1/hnai/mesquite", "$MQTT/msgs/#"):
        seen: list[Delivery] = []
        spy = Subscriber("bridge", "spy", topic, seen.append, url=broker.url)
        spy.start()
        with Taken(broker.url) as recorder:
            publish(broker.url, b"secret")
            eventually(lambda recorder=recorder: recorder.has(1))
        spy.stop()
        assert seen == []


def test_a_bridge_that_reads_is_told_so(nats):
    spy = Subscriber("bridge", "spy", EVERYTHING, lambda _: None, url=nats.url)
    spy.start()
    eventually(lambda: "does not let user 'bridge' subscribe to ot/v1/#" in spy.problem)
    spy.stop()


@pytest.mark.parametrize(("user", "topic"), [("recorder", "ot/v1/hnai"), ("bridge", "elsewhere/hnai")])
def test_a_recorder_may_not_publish_and_a_bridge_not_elsewhere(broker, user, topic):
    received: list[Delivery] = []
    other = Subscriber(RECORDER, RECORDER, EVERYTHING, received.append, url=broker.url)
    other.start()
    publish(broker.url, b"forged", user=user, topic=topic)
    publish(broker.url, b"genuine")
    eventually(lambda: received)
    other.stop()
    assert [delivery.payload for delivery in received] == [b"genuine"]


def test_nobody_comes_in_without_a_name(broker):
    answers: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="nobody")
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(reason.is_failure)
    client.connect_async("127.0.0.1", broker.port)
    client.loop_start()
    eventually(lambda: answers)
    client.disconnect()
    client.loop_stop()
    assert all(answers)


def test_a_wrong_password_names_the_secret_and_the_setting(broker, monkeypatch):
    monkeypatch.setattr(mqtt, "secret", lambda _: "wrong")

    problem = problem_with("bridge", broker.url)

    assert "refuses user 'bridge'" in problem
    assert str(settings.secrets_dir / "mqtt_bridge") in problem
    assert "HNAI_OT__BROKER_URL" in problem


def test_a_broker_that_is_away_names_the_setting(broker):
    broker.stop()

    problem = problem_with("bridge", broker.url)

    assert "does not answer" in problem
    assert "HNAI_OT__BROKER_URL" in problem
    broker.start()


def test_what_is_sent_before_any_recorder_ever_ran_is_kept_for_it(nats):
    publish(nats.url, b"early")  # nobody has subscribed yet, but the broker's own first start

    with Taken(nats.url) as recorder:
        eventually(lambda: recorder.has(1))


def test_the_configuration_holds_passwords_and_is_private(broker):
    for path in broker.folder.iterdir():
        if path.is_file() and path.name not in ("log", "session"):
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "host:1883", ""])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(OtError, match="HNAI_OT__BROKER_URL"):
        Publisher("bridge", "x", lambda _: None, url=url or "x")


# TLS


@pytest.fixture
def trust(monkeypatch):
    """Set the certificate authority that this side trusts."""

    def set_to(path) -> None:
        ot = settings.ot.model_copy(update={"broker_ca": path})
        monkeypatch.setattr(mqtt, "settings", settings.model_copy(update={"ot": ot}))

    return set_to


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.mark.parametrize("kind", [Nats, Mosquitto], ids=["nats", "mosquitto"])
def test_readings_travel_encrypted_to_a_broker_whose_authority_is_trusted(kind, tmp_path, authority, trust):
    trust(authority.certificate)
    for broker in running(kind(tmp_path / "broker", authority.issue("127.0.0.1"))):
        publish(broker.url, b"one")
        with Taken(broker.url) as recorder:
            eventually(lambda recorder=recorder: recorder.has(1))


@pytest.mark.parametrize("kind", [Nats, Mosquitto], ids=["nats", "mosquitto"])
def test_a_broker_of_another_authority_gets_nothing(kind, tmp_path, authority, trust):
    for broker in running(kind(tmp_path / "broker", authority.issue("127.0.0.1"))):
        trust(Authority(tmp_path / "another").certificate)
        problem = problem_with("bridge", broker.url)
        assert "is not trusted" in problem
        assert "HNAI_OT__BROKER_CA" in problem

        trust(None)
        assert "is not trusted" in problem_with("bridge", broker.url)


@pytest.mark.parametrize(
    ("host", "days", "said"), [("plant.example", 1, "mismatch"), ("127.0.0.1", -1, "expired")], ids=["host", "expired"]
)
def test_a_certificate_for_another_host_or_from_another_time_is_refused(host, days, said, tmp_path, authority, trust):
    trust(authority.certificate)
    for broker in running(Nats(tmp_path / "broker", authority.issue(host, valid=timedelta(days=days)))):
        assert said in problem_with("bridge", broker.url)


def test_an_authority_that_cannot_be_read_is_named(tmp_path, trust):
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        trust(path)
        with pytest.raises(OtError, match=f"HNAI_OT__BROKER_CA.*{path.name}"):
            problem_with("bridge", "mqtts://127.0.0.1:1")
        (tmp_path / "empty.pem").touch()


# As services


def test_the_brokers_service_comes_back_with_its_messages_when_it_is_killed(platform):
    platform.start(("mqtt",))
    publish(stack_nats.url(), *numbered(50))

    leader = recorded("mqtt").leader
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: recorded("mqtt").leader != leader and SERVICES["mqtt"].is_healthy() is None)

    with Taken(stack_nats.url()) as recorder:
        eventually(lambda: recorder.has(50))


def test_a_bridge_is_healthy_though_its_server_is_away_but_not_without_the_broker(platform):
    platform.start(("mqtt", "bridge-field_rtu"))
    service = SERVICES["bridge-field_rtu"]
    assert service.is_healthy() is None

    supervisor.stop(["mqtt"])
    eventually(lambda: "HNAI_OT__BROKER_URL" in (service.is_healthy() or ""))
    platform.start(("mqtt",))
    eventually(lambda: service.is_healthy() is None)
