"""When a close is due."""
