"""What the platform knows about its own work: append-only logs, leases, alerts."""
