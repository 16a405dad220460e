"""The embedded worker on the declarations of a test: `python -m tests.land_cdc.worker_on MODELS`."""

import sys
from pathlib import Path

from include import catalog

catalog.MODELS = Path(sys.argv[1])
catalog.ROOT = catalog.MODELS.parent

if __name__ == "__main__":
    from include.land.worker.__main__ import main

    sys.exit(main())
