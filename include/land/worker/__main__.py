"""The embedded Connect worker: `python -m include.land.worker`."""

import logging
import signal
import sys
import threading

from include.land.worker import jvm
from include.land.worker.api import Server
from include.land.worker.connectors import Connectors
from include.settings import settings


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-5s %(name)s %(message)s", stream=sys.stderr
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    jvm.start()
    for number in (signal.SIGTERM, signal.SIGINT):  # the virtual machine has put its own in place
        signal.signal(number, lambda *_: stopping.set())
    connectors = Connectors(settings.state_dir / "connect")
    server = Server(connectors)
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    connectors.restore()
    logging.getLogger("worker").info("Connect worker answers at %s", settings.connect_uri)
    while not stopping.wait(1.0):
        pass
    server.shutdown()
    connectors.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
