"""The distributed profile's servers on this machine: fetched once, started from the files in `deploy/`."""
