"""A broker that takes a connection and acknowledges nothing gets a new one, and the message with it."""

import socket
import threading

from include.ot import courier as courier_module
from include.ot import mqtt
from include.ot.courier import Courier
from include.ot.outbox import Outbox
from tests.ot.brokers import eventually
from tests.ot.test_outbox import put

CONNACK = b"\x20\x02\x00\x00"
PUBLISH, PUBACK = 0x30, 0x40


class DeafBroker(threading.Thread):
    """Speaks just enough MQTT: acknowledges messages from its second connection on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0

    def run(self) -> None:
        while True:
            wire, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(wire, self.connections > 1), daemon=True).start()

    def serve(self, wire: socket.socket, acknowledges: bool) -> None:
        stream = wire.makefile("rb")
        while kind := stream.read(1):
            size, shift = 0, 0
            while (byte := stream.read(1)[0]) & 0x80:
                size, shift = size | (byte & 0x7F) << shift, shift + 7
            body = stream.read(size | byte << shift)
            if kind[0] == 0x10:
                wire.sendall(CONNACK)
            elif kind[0] & 0xF0 == PUBLISH and acknowledges:
                topic_length = int.from_bytes(body[:2], "big")
                wire.sendall(bytes([PUBACK, 2]) + body[2 + topic_length : 4 + topic_length])


def test_a_broker_that_acknowledges_nothing_gets_a_new_connection(tmp_path, monkeypatch):
    broker = DeafBroker()
    broker.start()
    monkeypatch.setattr(courier_module, "STALL_S", 0.2)
    monkeypatch.setattr(courier_module, "TICK_S", 0.1)
    monkeypatch.setattr(mqtt, "broker_url", lambda: broker.url)
    outbox = Outbox(tmp_path, "scada", 10)
    put(outbox, 1, 2)
    courier = Courier(outbox, "bridge-scada")

    courier.start()
    eventually(lambda: outbox.waiting == 0)

    assert broker.connections == 2
    courier.stop()
    outbox.close()
