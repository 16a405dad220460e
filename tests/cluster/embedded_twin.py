"""The embedded worker beside Kafka Connect: `python -m tests.cluster.embedded_twin run|land|settle MODELS CONNECTORS`.

It has the profile and the port for Connect from its environment.
"""

import sys
from pathlib import Path

from include import catalog
from include.land import source_setup

SOURCE = "twin"

if __name__ == "__main__":
    verb, models, connectors = sys.argv[1:]
    catalog.MODELS, catalog.ROOT = Path(models), Path(models).parent
    source_setup.CONNECTORS = Path(connectors)
    from include.land import connect
    from include.land.schema_check import check_source

    match verb:
        case "run":
            from include.land.worker.__main__ import main

            sys.exit(main())
        case "land":
            connect.register_connector(SOURCE)
            check_source(SOURCE)
        case "settle":
            connect.wait_until(SOURCE, connect.source_position(SOURCE))
