"""The embedded Connect worker: Debezium in this process, its changes committed to raw exactly once."""
