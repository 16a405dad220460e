"""Is what was landed and built believable? Suites, their runs, acceptances and quarantine."""
